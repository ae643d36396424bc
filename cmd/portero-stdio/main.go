// Command portero-stdio is the MCP server that an AI client launches in front
// of all others.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"portero/proxy"
	"portero/proxy/mask"
	"portero/proxy/policy"
	"portero/shared/conf"
	"portero/shared/stdio"
	"portero/shared/tty"
	"portero/shared/version"
)

const prog = "portero-stdio"

const usage = `portero-stdio: one MCP server in front of all of yours

usage:
  portero-stdio [--config FILE]     serve MCP on stdin and stdout
  portero-stdio --version
  portero-stdio --help

flags:
  --config FILE   default: $PORTERO_CONFIG, else $XDG_CONFIG_HOME/portero/portero.toml
  --log-level L   debug, info (default), warn or error; the log goes to stderr

exit codes: 0 ok, 1 failed, 2 usage, 3 config
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	// A client that dies while it is written to must not end the process before
	// it has ended its children: the write fails instead.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	in, out := stdio.Pipes()
	os.Exit(run(ctx, os.Args[1:], in, out, os.Stderr))
}

func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	err := command(ctx, args, stdin, stdout, stderr)
	tty.Error(stderr, prog, err)
	return tty.ExitCode(err)
}

func command(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet(prog, flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	config := flags.String("config", "", "")
	level := flags.String("log-level", "info", "")
	show := flags.Bool("version", false, "")
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(stdout, usage)
		return nil
	case err != nil:
		return tty.Usage(prog+" --help", "%w", err)
	case flags.NArg() > 0:
		return tty.Usage(prog+" --help", "unknown command %q", flags.Arg(0))
	case *show:
		fmt.Fprintln(stdout, prog, version.String())
		return nil
	}
	log, err := tty.Logger(stderr, *level)
	if err != nil {
		return err
	}
	return serve(ctx, *config, stdin, stdout, stderr, log)
}

func serve(ctx context.Context, config string, stdin io.Reader, stdout, stderr io.Writer, log *slog.Logger) error {
	path, err := conf.Path(config, os.LookupEnv)
	if err != nil {
		return err
	}
	cfg, err := conf.Load(path, os.LookupEnv, conf.ProxySide)
	if err != nil {
		return err
	}
	tty.Notices(stderr, prog, cfg)
	opt, err := options(cfg, log)
	if err != nil {
		return err
	}
	p, err := proxy.New(ctx, opt)
	if err != nil {
		return err
	}
	return p.Run(ctx, stdin, stdout)
}

// options translates the configuration.
func options(cfg *conf.Config, log *slog.Logger) (proxy.Options, error) {
	opt := proxy.Options{Machine: cfg.Proxy.Name, StateDir: cfg.Proxy.StateDir, Separator: cfg.Proxy.ToolSeparator,
		ExpireAfter: cfg.Approvals.ExpireAfter, Environ: os.Environ(), Version: version.String(), Logger: log}
	if err := conf.PrivateDir(cfg.Proxy.StateDir); err != nil {
		return opt, err
	}
	var hide []policy.Rule
	for _, m := range cfg.MCP {
		env := map[string]string{}
		for k, v := range m.Env {
			env[k] = v.Reveal()
		}
		opt.Servers = append(opt.Servers, proxy.Server{Name: m.Name, Command: m.Command, Args: m.Args, Env: env, Dir: m.Cwd, Scope: string(m.Scope)})
		for _, pattern := range m.HiddenTools {
			hide = append(hide, policy.Rule{Pattern: m.Name + "/" + pattern, Action: policy.Deny, Where: fmt.Sprintf("%s:%d", cfg.File, m.Line)})
		}
	}
	hidden, err := policy.Compile(hide, policy.Allow)
	if err != nil {
		return opt, badConfig(fmt.Errorf("hidden_tools: %w", err))
	}
	opt.Hidden = func(tool string) bool { return hidden.Decide(tool).Action == policy.Deny }
	if opt.Policy, err = rules(cfg); err != nil {
		return opt, err
	}
	if opt.Table, err = table(cfg, log); err != nil {
		return opt, err
	}
	if cfg.Proxy.Instructions {
		opt.Instructions = instructions(cfg)
	}
	if cfg.Link != nil {
		opt.Relay = &proxy.Relay{URL: cfg.Link.URL, Token: cfg.Link.Token.Reveal()}
	}
	return opt, nil
}

// badConfig is a fault of the file that only the package concerned can see.
func badConfig(err error) error { return &tty.Fault{Code: tty.ExitConfig, Err: err} }

func rules(cfg *conf.Config) (*policy.Policy, error) {
	var all []policy.Rule
	for _, r := range cfg.Policy.Tools {
		all = append(all, policy.Rule{Pattern: r.Pattern, Action: policy.Action(r.Action), Where: fmt.Sprintf("portero.toml:%d", r.Line)})
	}
	p, err := policy.Compile(all, policy.Action(cfg.Policy.Default))
	if err != nil {
		return nil, badConfig(fmt.Errorf("[policy] of %s: %w", cfg.File, err))
	}
	return p, nil
}

func table(cfg *conf.Config, log *slog.Logger) (*mask.Table, error) {
	var pairs []mask.Pair
	for _, r := range cfg.Replacements {
		pairs = append(pairs, mask.Pair{Fake: r.Fake, Real: r.Real.Reveal(), OneWay: !r.Bidirectional, Placeholder: r.ResponseReplacement,
			CaseSensitive: r.CaseSensitive, Label: fmt.Sprintf("replacement at portero.toml:%d", r.Line)})
	}
	t, err := mask.Compile(pairs)
	if err != nil {
		return nil, badConfig(fmt.Errorf("[[replacement]] of %s: %w", cfg.File, err))
	}
	for _, label := range t.Ungated() {
		log.Warn("the real value occurs inside a fake, so the leak gate cannot watch it: choose another fake", "value", label)
	}
	return t, nil
}

// instructionsLimit is where clients cut, in bytes.
const instructionsLimit = 2048

// instructions tell the model which identity to use and how approvals work.
func instructions(cfg *conf.Config) string {
	const approvals = "Some calls need a human's approval: they answer at once with status pending-approval and a taskId. " +
		"Do not repeat such a call; go on, and collect the result with portero/check_task. portero/search_tools finds tools of all servers."
	var fakes strings.Builder
	for _, r := range cfg.Replacements {
		const intro = "For the user and their data use these values, spelled exactly so: "
		if !r.Bidirectional || len(intro)+fakes.Len()+len(r.Fake)+4+len(approvals) > instructionsLimit {
			continue
		}
		if fakes.Len() == 0 {
			fakes.WriteString(intro)
		} else {
			fakes.WriteString(", ")
		}
		fmt.Fprintf(&fakes, "%q", r.Fake)
	}
	if fakes.Len() > 0 {
		fakes.WriteString(". ")
	}
	return fakes.String() + approvals
}
