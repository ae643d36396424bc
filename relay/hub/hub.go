// Package hub holds the relay's end of the links: it lets machines in by their
// tokens, hands their requests to the desk and pushes to each machine the
// tasks that changed. It decides nothing.
package hub

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"

	"portero/relay/desk"
	"portero/shared/wire"
)

// Hub serves /link. Use New.
type Hub struct {
	desk *desk.Desk
	log  *slog.Logger
	// Tests make these shorter.
	patience, recheck time.Duration

	mu     sync.Mutex
	closed bool
	conns  map[*conn]struct{}
	wg     sync.WaitGroup
}

// New returns a hub over d.
func New(d *desk.Desk, log *slog.Logger) *Hub {
	return &Hub{desk: d, log: log, patience: helloWithin, recheck: recheckEvery, conns: map[*conn]struct{}{}}
}

// ServeHTTP lets a machine in and serves its link until it ends. A missing or
// wrong token, or one of another role, is answered 401 before anything else is
// read.
func (h *Hub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	token, err := h.authenticate(r)
	if errors.Is(err, desk.ErrBadToken) {
		w.Header().Set("WWW-Authenticate", "Bearer")
		http.Error(w, "a machine token is required: make one with `portero-relay token create --role machine --name NAME`", http.StatusUnauthorized)
		return
	} else if err != nil {
		h.log.Error("check link token", "err", err)
		http.Error(w, "the relay's store is not available", http.StatusServiceUnavailable)
		return
	}
	ws, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{wire.Subprotocol}})
	if err != nil {
		h.log.Info("link refused", "machine", token.Name, "err", err)
		return
	}
	defer ws.CloseNow()
	if ws.Subprotocol() != wire.Subprotocol {
		ws.Close(websocket.StatusPolicyViolation, "subprotocol "+wire.Subprotocol+" is required")
		return
	}
	ws.SetReadLimit(wire.MaxFrame)
	// The connection is hijacked: only the hub can end it from here on.
	ctx, cancel := context.WithCancel(context.WithoutCancel(r.Context()))
	defer cancel()
	c := &conn{hub: h, ws: ws, secret: bearer(r), machine: token.Name, cancel: cancel, log: h.log.With("machine", token.Name)}
	if !h.add(c) {
		ws.Close(websocket.StatusGoingAway, "shutting down")
		return
	}
	defer h.remove(c)
	err = c.serve(ctx)
	c.log.Info("link ended", "proc", c.hello.Proc, "err", err)
}

func bearer(r *http.Request) string {
	scheme, secret, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(secret)
}

func (h *Hub) authenticate(r *http.Request) (desk.Token, error) {
	token, err := h.desk.CheckToken(r.Context(), bearer(r))
	if err == nil && token.Role != "machine" {
		err = desk.ErrBadToken
	}
	return token, err
}

func (h *Hub) add(c *conn) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return false
	}
	h.wg.Add(1)
	h.conns[c] = struct{}{}
	h.desk.Connected(c.machine, +1)
	return true
}

func (h *Hub) remove(c *conn) {
	h.mu.Lock()
	delete(h.conns, c)
	h.mu.Unlock()
	h.desk.Connected(c.machine, -1)
	h.wg.Done()
}

// Close tells every machine when to come back, ends the links and waits for
// them, until ctx ends.
func (h *Hub) Close(ctx context.Context) error {
	h.mu.Lock()
	h.closed = true
	for c := range h.conns {
		h.wg.Go(func() {
			bye, done := context.WithTimeout(ctx, time.Second)
			defer done()
			c.send(bye, wire.Bye{ReconnectMS: 1000})
			c.cancel()
		})
	}
	h.mu.Unlock()
	gone := make(chan struct{})
	go func() { h.wg.Wait(); close(gone) }()
	select {
	case <-gone:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("close links: %w", ctx.Err())
	}
}
