package rig

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"sync"
)

// Wire is the network between the proxies and the relay, where it can be held
// up at a chosen message of the relay's.
type Wire struct {
	w    *World
	l    net.Listener
	all  sync.WaitGroup
	held chan struct{} // receives for each connection that is held up

	mu    sync.Mutex
	text  []byte
	conns map[net.Conn]struct{}
}

// Wire puts a network in front of the relay and its address into [link].
func (w *World) Wire() *Wire {
	w.T.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		w.T.Fatal(err)
	}
	x := &Wire{w: w, l: l, held: make(chan struct{}, 100), conns: map[net.Conn]struct{}{}}
	w.Edit(fmt.Sprintf("ws://127.0.0.1:%d/link", w.Port), fmt.Sprintf("ws://%s/link", l.Addr()))
	x.all.Go(x.accept)
	w.T.Cleanup(func() {
		l.Close()
		x.Cut()
		x.all.Wait()
	})
	return x
}

// HoldAt lets nothing more of the relay's through on a connection from the
// frame on that holds text; "" lets all through, on new connections.
func (x *Wire) HoldAt(text string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.text = []byte(text)
}

// AwaitHeld waits until a connection is held up.
func (x *Wire) AwaitHeld() {
	x.w.T.Helper()
	Eventually(x.w.T, "the network is held up", func() bool {
		select {
		case <-x.held:
			return true
		default:
			return false
		}
	})
}

// Cut ends every connection.
func (x *Wire) Cut() {
	x.mu.Lock()
	defer x.mu.Unlock()
	for c := range x.conns {
		c.Close()
	}
}

func (x *Wire) accept() {
	for {
		near, err := x.l.Accept()
		if err != nil {
			return
		}
		far, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", x.w.Port))
		if err != nil {
			near.Close()
			continue
		}
		x.mu.Lock()
		x.conns[near], x.conns[far] = struct{}{}, struct{}{}
		x.mu.Unlock()
		x.all.Go(func() { defer far.Close(); io.Copy(far, near) })
		x.all.Go(func() { defer near.Close(); x.back(near, far) })
	}
}

// back copies what the relay says. Its frames are not masked, and it writes
// each in one piece.
func (x *Wire) back(near, far net.Conn) {
	buf := make([]byte, 1<<20)
	silent := false
	for {
		n, err := far.Read(buf)
		x.mu.Lock()
		hold := len(x.text) > 0 && bytes.Contains(buf[:n], x.text)
		x.mu.Unlock()
		if hold && !silent {
			silent = true
			x.held <- struct{}{}
		}
		if !silent {
			near.Write(buf[:n])
		}
		if err != nil {
			return
		}
	}
}
