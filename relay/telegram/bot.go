// Package telegram shows pending tasks to the admin in a Telegram chat and
// takes the answers.
//
// Two loops do it. The poller asks for updates, has each one's effect and its
// number committed by the desk in one transaction, and only then asks for the
// next ones, which is what confirms an update to Telegram. So a press is never
// lost and never counts twice. The sender compares the desk with what the chat
// shows and sends or edits what differs; it keeps no events, so a crash costs
// at most a second copy of a card, with the same button.
//
// Whatever Telegram does, the bot goes on: it waits as long as it is told to,
// or ever longer up to a minute, says in Health what is wrong, and catches up.
//
// Who may press or command: somebody in the admin chat (the configured one, or
// the one that was paired) whose user id is allowed. A chat alone, a name or a
// sender without an id is never enough.
package telegram

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"portero/relay/desk"
)

// Options configures a Bot.
type Options struct {
	Desk   *desk.Desk
	Token  string
	APIURL string // Bot API server, without a trailing slash
	// AdminChat is the chat that gets the cards; 0 means the one that was
	// paired with /pair.
	AdminChat int64
	// AdminUsers may press and command. Empty: in a private chat the user
	// whose chat it is, in a group nobody.
	AdminUsers []int64
	// PairingCode is what /pair must carry; empty disables pairing.
	PairingCode string
	Version     string
	Logger      *slog.Logger // nil discards

	knobs *knobs // tests only
}

// knobs are the times that tests shorten.
type knobs struct {
	poll       time.Duration // how long Telegram may hold a poll
	slack      time.Duration // how much later its answer may come
	call       time.Duration // limit of any other call
	upload     time.Duration
	backoffMin time.Duration
	backoffMax time.Duration
	tick       time.Duration // look at the desk at least this often
	slow       time.Duration // between tries at a chat that refuses the bot
	second     time.Duration // the unit of retry_after
	every      time.Duration // between messages to one chat, on average
	hour       time.Duration // for the limits on strangers
	grace      time.Duration // for a call under way when the program ends

	handling func(update int) // called for each update before it is handled
}

func times() knobs {
	return knobs{
		poll: 50 * time.Second, slack: 15 * time.Second, call: 20 * time.Second, upload: time.Minute,
		backoffMin: 500 * time.Millisecond, backoffMax: time.Minute,
		tick: 30 * time.Second, slow: 5 * time.Minute, second: time.Second, every: time.Second,
		hour: time.Hour, grace: 3 * time.Second,
	}
}

// Bot is one Telegram bot. There must be one Run at a time for one token.
type Bot struct {
	knobs
	desk    *desk.Desk
	api     *api
	log     *slog.Logger
	chat    int64
	users   []int64
	pairing string
	version string

	username atomic.Pointer[string]
	kick     chan struct{} // something to send that the desk does not know of
	toasts   chan toast

	mu       sync.Mutex
	problems map[part]problem
	fine     time.Time // since when there is none
	notes    []note    // answers and alerts to send
	redraw   []string  // nonces of cards to edit whatever the desk says they show
	refusing map[int64]time.Time

	poller // touched by the poll loop only
	sender // touched by the send loop only
}

// New makes a bot that does nothing until Run.
func New(o Options) *Bot {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	k := times()
	if o.knobs != nil {
		k = *o.knobs
	}
	b := &Bot{
		knobs: k, desk: o.Desk, api: newAPI(o.Token, o.APIURL), log: o.Logger,
		chat: o.AdminChat, users: o.AdminUsers, pairing: o.PairingCode, version: o.Version,
		kick: make(chan struct{}, 1), toasts: make(chan toast, 64),
		problems: map[part]problem{polling: {"not connected to Telegram yet", time.Now()}}, refusing: map[int64]time.Time{},
	}
	b.poller = poller{
		open:   newBuckets(20, k.hour/120),
		once:   newBuckets(1, k.hour),
		alerts: newBuckets(5, k.hour/30),
	}
	b.sender = sender{cards: map[string]*attempt{}, private: newBuckets(20, k.every), group: newBuckets(20, 3*k.every)}
	return b
}

// Run serves until ctx ends, and returns nil when everything it started has
// ended. It never returns because of Telegram.
func (b *Bot) Run(ctx context.Context) error {
	var all sync.WaitGroup
	all.Go(func() { b.pollLoop(ctx) })
	all.Go(func() { b.sendLoop(ctx) })
	all.Go(func() { b.toastLoop(ctx) })
	all.Wait()
	b.api.close()
	return nil
}

// Health tells whether the bot works.
type Health struct {
	OK      bool
	Problem string    // what is wrong and what to do about it; empty when OK
	Since   time.Time // since when it is so
}

type part int

// The parts that may have a problem, the gravest first.
const (
	polling part = iota
	sending
	delivery // the admin chat refuses the bot
)

type problem struct {
	text  string
	since time.Time
}

// Health returns the gravest problem that the bot has now.
func (b *Bot) Health() Health {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, p := range []part{polling, sending, delivery} {
		if found, ok := b.problems[p]; ok {
			return Health{Problem: found.text, Since: found.since}
		}
	}
	return Health{OK: true, Since: b.fine}
}

// trouble records a problem of a part, or with an empty text that it has none.
// It reports whether that is news.
func (b *Bot) trouble(p part, text string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	old, was := b.problems[p]
	switch {
	case text == "" && was:
		delete(b.problems, p)
		if len(b.problems) == 0 {
			b.fine = time.Now()
		}
	case text != "" && !was:
		b.problems[p] = problem{text, time.Now()}
	case text != "":
		b.problems[p] = problem{text, old.since}
	}
	return old.text != text
}

// admin returns the chat that gets the cards; ok is false while there is none.
func (b *Bot) admin(ctx context.Context) (chat int64, ok bool, err error) {
	if b.chat != 0 {
		return b.chat, true, nil
	}
	a, ok, err := b.desk.Paired(ctx)
	return a.Chat, ok, err
}

// backoff grows from knob to knob, with jitter so that many relays do not
// return at once.
type backoff struct{ n int }

func (w *backoff) next(k *knobs) time.Duration {
	d := k.backoffMin << min(w.n, 20)
	if d > k.backoffMax || d <= 0 {
		d = k.backoffMax
	} else {
		w.n++
	}
	return d/2 + rand.N(d/2+1)
}

func (w *backoff) reset() { w.n = 0 }

// buckets are token buckets, one for each chat or user.
type buckets struct {
	burst float64
	every time.Duration // time to earn one
	of    map[int64]bucket
	swept time.Time
}

type bucket struct {
	tokens float64
	at     time.Time
}

const maxBuckets = 4096

func newBuckets(burst float64, every time.Duration) *buckets {
	return &buckets{burst: burst, every: every, of: map[int64]bucket{}}
}

// take takes one of id's tokens and returns 0, or says how long until there
// is one.
func (b *buckets) take(id int64, now time.Time) time.Duration {
	have, ok := b.of[id]
	if !ok {
		if len(b.of) >= maxBuckets && now.Sub(b.swept) >= b.every {
			b.swept = now
			for other, x := range b.of {
				if x.tokens+float64(now.Sub(x.at))/float64(b.every) >= b.burst {
					delete(b.of, other)
				}
			}
		}
		if len(b.of) >= maxBuckets {
			return b.every
		}
		have = bucket{b.burst, now}
	}
	have.tokens = min(b.burst, have.tokens+float64(now.Sub(have.at))/float64(b.every))
	have.at = now
	wait := time.Duration(0)
	if have.tokens >= 1 {
		have.tokens--
	} else {
		wait = max(1, time.Duration((1-have.tokens)*float64(b.every)))
	}
	b.of[id] = have
	return wait
}

func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
