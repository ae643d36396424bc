// Package relay is portero-relay: the place where machines ask and people
// answer. An approval's way through it, file by file:
//
//	hub/conn.go       a frame from a machine
//	desk/link.go      the task, on disk, before the machine hears "ack"
//	telegram/send.go  the card            page/page.go  the approval page
//	telegram/press.go the press           page/page.go  the button
//	desk/press.go     the decision, on disk, before anyone is told
//	hub/conn.go       back to the machine
//
// The desk is the only one that decides and remembers; everybody else looks at
// it again after each change.
package relay

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"

	"portero/relay/desk"
	"portero/relay/hub"
	"portero/relay/page"
	"portero/relay/telegram"
)

// SigninTTL is how long a sign-in link can be used.
const SigninTTL = time.Hour

// Telegram configures the bot.
type Telegram struct {
	Token       string
	APIURL      string
	AdminChat   int64
	AdminUsers  []int64
	PairingCode string
}

// Options configure a relay.
type Options struct {
	DataDir     string // must exist
	Listen      string
	PublicURL   string // "" = derived from the listening address
	TLSCert     string
	TLSKey      string
	BehindProxy bool
	Console     bool
	Telegram    *Telegram
	Version     string
	Logger      *slog.Logger
	Out         io.Writer // where the approval page's address is printed
}

// Run serves until ctx ends. It owns every goroutine of the relay.
func Run(ctx context.Context, opt Options) error {
	d, err := desk.Open(ctx, opt.DataDir)
	if err != nil {
		return err
	}
	defer d.Close()
	listener, err := listen(opt)
	if err != nil {
		return err
	}
	base := opt.PublicURL
	if base == "" {
		base = scheme(opt) + "://" + reachable(listener.Addr())
	}
	links := hub.New(d, opt.Logger.With("part", "hub"))
	mux := http.NewServeMux()
	mux.HandleFunc("GET /health", health(opt.Version))
	mux.HandleFunc("POST /health", health(opt.Version))
	mux.Handle("GET /link", links)
	if opt.Console {
		mux.Handle("/", page.New(page.Options{Desk: d, PublicURL: base, Secure: opt.TLSCert != "" || opt.BehindProxy,
			Logger: opt.Logger.With("part", "page"), Version: opt.Version}))
	}
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 15 * time.Second, WriteTimeout: 60 * time.Second,
		IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 32 << 10, ErrorLog: slog.NewLogLogger(opt.Logger.Handler(), slog.LevelDebug)}

	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return serve(server, listener, opt) })
	g.Go(func() error {
		<-ctx.Done()
		bound, done := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer done()
		return errors.Join(links.Close(bound), server.Shutdown(bound))
	})
	g.Go(func() error { return expire(ctx, d, opt.Logger) })
	if opt.Telegram != nil {
		bot := telegram.New(telegram.Options{Desk: d, Token: opt.Telegram.Token, APIURL: opt.Telegram.APIURL, AdminChat: opt.Telegram.AdminChat,
			AdminUsers: opt.Telegram.AdminUsers, PairingCode: opt.Telegram.PairingCode, Version: opt.Version, Logger: opt.Logger.With("part", "telegram")})
		g.Go(func() error { return bot.Run(ctx) })
	}
	if err := announce(ctx, d, base, opt); err != nil {
		opt.Logger.Error("make sign-in link", "err", err)
	}
	opt.Logger.Info("relay is up", "url", base, "version", opt.Version)
	return g.Wait()
}

// listen refuses to speak plain HTTP to anything but this machine.
func listen(opt Options) (net.Listener, error) {
	listener, err := net.Listen("tcp", opt.Listen)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w; is another relay running, or is [relay] listen wrong?", opt.Listen, err)
	}
	addr, ok := listener.Addr().(*net.TCPAddr)
	if opt.TLSCert == "" && !opt.BehindProxy && (!ok || !addr.IP.IsLoopback()) {
		listener.Close()
		return nil, fmt.Errorf("listen on %s: plain HTTP is for this machine only: set tls_cert and tls_key in [relay], or behind_proxy = true when a proxy in front does TLS", opt.Listen)
	}
	return listener, nil
}

// reachable is an address that a browser on this machine can open.
func reachable(addr net.Addr) string {
	if tcp, ok := addr.(*net.TCPAddr); ok && tcp.IP.IsUnspecified() {
		return net.JoinHostPort("localhost", strconv.Itoa(tcp.Port))
	}
	return addr.String()
}

func scheme(opt Options) string {
	if opt.TLSCert != "" {
		return "https"
	}
	return "http"
}

func serve(server *http.Server, listener net.Listener, opt Options) error {
	var err error
	if opt.TLSCert != "" {
		err = server.ServeTLS(listener, opt.TLSCert, opt.TLSKey)
	} else {
		err = server.Serve(listener)
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("serve: %w", err)
}

// announce prints where people go: the one-time link is for whoever sees this
// terminal, so it is not part of the log.
func announce(ctx context.Context, d *desk.Desk, base string, opt Options) error {
	fmt.Fprintf(opt.Out, "portero-relay: listening on %s\n", base)
	if !opt.Console {
		return nil
	}
	secret, err := d.NewSignin(ctx, SigninTTL)
	if err != nil {
		return err
	}
	fmt.Fprintf(opt.Out, "portero-relay: approval page (link works once, for an hour): %s\n", page.SigninURL(base, secret))
	return nil
}

func health(version string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(struct {
			Status    string `json:"status"`
			Version   string `json:"version"`
			Timestamp string `json:"timestamp"`
		}{"ok", version, time.Now().UTC().Format(time.RFC3339)})
	}
}

// expire ends what nobody answered.
func expire(ctx context.Context, d *desk.Desk, log *slog.Logger) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			if n, err := d.ExpireDue(ctx); err != nil && ctx.Err() == nil {
				log.Error("expire tasks", "err", err)
			} else if n > 0 {
				log.Info("tasks expired", "count", n)
			}
		}
	}
}
