// Command portero-relay is where machines ask for approval and people answer.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"portero/relay"
	"portero/relay/desk"
	"portero/relay/page"
	"portero/shared/conf"
	"portero/shared/tty"
	"portero/shared/version"
)

const prog = "portero-relay"

const usage = `portero-relay: approvals for portero-stdio, on Telegram and on a page of its own

usage:
  portero-relay [serve]                          serve
  portero-relay token create --name N --role machine|teammate [--tools PATTERN]... [--expires 90d]
  portero-relay token list
  portero-relay token revoke NAME
  portero-relay sign-in                          print a new one-time link to the approval page
  portero-relay --version
  portero-relay --help

flags:
  --config FILE   default: $PORTERO_CONFIG, else $XDG_CONFIG_HOME/portero/portero.toml
  --log-level L   debug, info (default), warn or error; the log goes to stderr

exit codes: 0 ok, 1 failed, 2 usage, 3 config
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	c := &command{stdout: stdout, stderr: stderr, level: "info"}
	err := c.run(ctx, args)
	tty.Error(stderr, prog, err)
	return tty.ExitCode(err)
}

// command is one invocation.
type command struct {
	stdout, stderr io.Writer
	config, level  string
	version        bool
}

// parse reads the flags that may stand anywhere, and those that define adds,
// and returns the other arguments.
func (c *command) parse(args []string, define func(*flag.FlagSet)) ([]string, error) {
	var rest []string
	for {
		flags := flag.NewFlagSet(prog, flag.ContinueOnError)
		flags.SetOutput(io.Discard)
		flags.StringVar(&c.config, "config", c.config, "")
		flags.StringVar(&c.level, "log-level", c.level, "")
		flags.BoolVar(&c.version, "version", c.version, "")
		if define != nil {
			define(flags)
		}
		if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
			return nil, err
		} else if err != nil {
			return nil, tty.Usage(prog+" --help", "%w", err)
		}
		if flags.NArg() == 0 {
			return rest, nil
		}
		rest, args = append(rest, flags.Arg(0)), flags.Args()[1:]
		if define == nil {
			// The subcommand's own flags come behind its name.
			return append(rest, args...), nil
		}
	}
}

func (c *command) run(ctx context.Context, args []string) error {
	words, err := c.parse(args, nil)
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(c.stdout, usage)
		return nil
	case err != nil:
		return err
	case c.version:
		fmt.Fprintln(c.stdout, prog, version.String())
		return nil
	case len(words) == 0:
		return c.serve(ctx)
	}
	name, rest := words[0], words[1:]
	switch name {
	case "serve", "sign-in":
		if rest, err = c.parse(rest, func(*flag.FlagSet) {}); errors.Is(err, flag.ErrHelp) {
			fmt.Fprint(c.stdout, usage)
			return nil
		} else if err != nil {
			return err
		}
		if len(rest) > 0 {
			return tty.Usage(prog+" --help", "%s takes no argument %q", name, rest[0])
		}
		if name == "serve" {
			return c.serve(ctx)
		}
		return c.withDesk(ctx, c.signIn)
	case "token":
		return c.token(ctx, rest)
	}
	return tty.Usage(prog+" --help", "unknown command %q", name)
}

func (c *command) load() (*conf.Config, error) {
	path, err := conf.Path(c.config, os.LookupEnv)
	if err != nil {
		return nil, err
	}
	cfg, err := conf.Load(path, os.LookupEnv, conf.RelaySide)
	if err != nil {
		return nil, err
	}
	return cfg, conf.PrivateDir(cfg.Relay.DataDir)
}

func (c *command) serve(ctx context.Context) error {
	log, err := tty.Logger(c.stderr, c.level)
	if err != nil {
		return err
	}
	cfg, err := c.load()
	if err != nil {
		return err
	}
	tty.Notices(c.stderr, prog, cfg)
	r := cfg.Relay
	opt := relay.Options{DataDir: r.DataDir, Listen: r.Listen, PublicURL: r.PublicURL, TLSCert: r.TLSCert, TLSKey: r.TLSKey,
		BehindProxy: r.BehindProxy, Console: r.Console, Version: version.String(), Logger: log, Out: c.stdout}
	if t := cfg.Telegram; t != nil {
		opt.Telegram = &relay.Telegram{Token: t.BotToken.Reveal(), APIURL: t.APIURL, AdminChat: t.AdminChatID,
			AdminUsers: t.AdminUserIDs, PairingCode: t.PairingCode.Reveal()}
	}
	return relay.Run(ctx, opt)
}

// withDesk opens the store for a command, also beside a relay that serves.
func (c *command) withDesk(ctx context.Context, f func(context.Context, *conf.Config, *desk.Desk) error) error {
	cfg, err := c.load()
	if err != nil {
		return err
	}
	d, err := desk.Open(ctx, cfg.Relay.DataDir)
	if err != nil {
		return err
	}
	defer d.Close()
	return f(ctx, cfg, d)
}

func (c *command) signIn(ctx context.Context, cfg *conf.Config, d *desk.Desk) error {
	base := cfg.Relay.PublicURL
	if base == "" {
		base = "http://" + cfg.Relay.Listen
		if cfg.Relay.TLSCert != "" {
			base = "https://" + cfg.Relay.Listen
		}
	}
	secret, err := d.NewSignin(ctx, relay.SigninTTL)
	if err != nil {
		return fmt.Errorf("make sign-in link: %w", err)
	}
	fmt.Fprintln(c.stderr, "this link works once, for an hour:")
	fmt.Fprintln(c.stdout, page.SigninURL(base, secret))
	return nil
}
