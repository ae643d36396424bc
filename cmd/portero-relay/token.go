package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"regexp"
	"text/tabwriter"
	"time"

	"portero/relay/desk"
	"portero/shared/conf"
	"portero/shared/tty"
)

var tokenName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

func (c *command) token(ctx context.Context, args []string) error {
	var name, role, expires string
	var tools []string
	words, err := c.parse(args, func(f *flag.FlagSet) {
		f.StringVar(&name, "name", name, "")
		f.StringVar(&role, "role", role, "")
		f.StringVar(&expires, "expires", expires, "")
		f.Func("tools", "", func(s string) error { tools = append(tools, s); return nil })
	})
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(c.stdout, usage)
		return nil
	case err != nil:
		return err
	case len(words) == 1 && words[0] == "create":
		return c.createToken(ctx, name, role, expires, tools)
	case len(words) == 1 && words[0] == "list":
		return c.withDesk(ctx, c.listTokens)
	case len(words) == 2 && words[0] == "revoke":
		return c.withDesk(ctx, func(ctx context.Context, _ *conf.Config, d *desk.Desk) error {
			if err := d.RevokeToken(ctx, words[1]); err != nil {
				return fmt.Errorf("revoke %q: %w", words[1], err)
			}
			fmt.Fprintf(c.stderr, "revoked %s; its connections end within seconds\n", words[1])
			return nil
		})
	}
	return tty.Usage(prog+" token create --name laptop --role machine", "token takes create, list or revoke NAME")
}

func (c *command) createToken(ctx context.Context, name, role, expires string, tools []string) error {
	const example = prog + " token create --name laptop --role machine"
	if !tokenName.MatchString(name) {
		return tty.Usage(example, "--name %q: letters, digits, dot, dash and underscore, at most 64", name)
	}
	if role != "machine" && role != "teammate" {
		return tty.Usage(example, "--role %q: machine or teammate", role)
	}
	var until time.Time
	if expires != "" {
		d, err := conf.ParseDuration(expires)
		if err != nil || d <= 0 {
			return tty.Usage(example+" --expires 90d", "--expires %q: a duration such as 12h or 90d", expires)
		}
		until = time.Now().Add(d)
	}
	return c.withDesk(ctx, func(ctx context.Context, _ *conf.Config, d *desk.Desk) error {
		secret, err := d.CreateToken(ctx, name, role, tools, until)
		if err != nil {
			return fmt.Errorf("create token %q: %w", name, err)
		}
		switch role {
		case "machine":
			fmt.Fprintln(c.stderr, "put this into [link] token of the machine's portero.toml; it is shown only once:")
		default:
			fmt.Fprintln(c.stderr, "this version has no endpoint for teammates yet; the token is shown only once:")
		}
		fmt.Fprintln(c.stdout, secret)
		return nil
	})
}

func (c *command) listTokens(ctx context.Context, _ *conf.Config, d *desk.Desk) error {
	tokens, err := d.Tokens(ctx)
	if err != nil {
		return fmt.Errorf("list tokens: %w", err)
	}
	w := tabwriter.NewWriter(c.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "NAME\tROLE\tSTATE\tCREATED\tEXPIRES\tLAST USED")
	for _, t := range tokens {
		state := "live"
		switch {
		case !t.Revoked.IsZero():
			state = "revoked"
		case !t.Expires.IsZero() && time.Now().After(t.Expires):
			state = "expired"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", t.Name, t.Role, state, day(t.Created), day(t.Expires), day(t.Used))
	}
	return w.Flush()
}

func day(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return t.UTC().Format("2006-01-02 15:04")
}
