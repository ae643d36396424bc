package desk

import (
	"errors"
	"fmt"
	"testing"

	"portero/shared/task"
)

const chat = int64(-1001)

func toSend(t *testing.T, d *Desk, in int64) []Card {
	t.Helper()
	cards, err := d.CardsToSend(ctx, in, 10)
	if err != nil {
		t.Fatal(err)
	}
	return cards
}

func toEdit(t *testing.T, d *Desk) []Card {
	t.Helper()
	cards, err := d.CardsToEdit(ctx, 10)
	if err != nil {
		t.Fatal(err)
	}
	return cards
}

// sent makes the card of a pending task and notes its message.
func sent(t *testing.T, d *Desk, id string, message int) Card {
	t.Helper()
	for _, c := range toSend(t, d, chat) {
		if c.Task.ID == id {
			if err := d.CardSent(ctx, c.Nonce, message, c.Task.State.Status()); err != nil {
				t.Fatal(err)
			}
			return c
		}
	}
	t.Fatalf("no card for %s", id)
	return Card{}
}

func TestCardLife(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	d := open(t, dir)
	pending(t, d, "t1")
	pending(t, d, "t2")
	to(t, d, "decided", task.Denied) // too late for a card
	cards := toSend(t, d, chat)
	if len(cards) != 2 || cards[0].Task.ID != "t1" || cards[1].Task.ID != "t2" || cards[0].Nonce == cards[1].Nonce || len(cards[0].Nonce) != 26 {
		t.Fatalf("cards %+v", cards)
	}
	if cards[0].Chat != chat || cards[0].Message != 0 || cards[0].Task.Code != "7K3F" {
		t.Errorf("card %+v", cards[0])
	}
	if got := toEdit(t, d); len(got) != 0 {
		t.Errorf("cards that were never sent are to be edited: %v", got)
	}
	// The relay dies between sending the card and noting it: the next card
	// has the same nonce, so both are genuine.
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	d = open(t, dir)
	again := toSend(t, d, chat)
	if len(again) != 2 || again[0].Nonce != cards[0].Nonce || again[1].Nonce != cards[1].Nonce {
		t.Fatalf("after a crash: %+v, were %+v", again, cards)
	}
	if err := d.CardSent(ctx, cards[0].Nonce, 70, "pending-approval"); err != nil {
		t.Fatal(err)
	}
	if left := toSend(t, d, chat); len(left) != 1 || left[0].Task.ID != "t2" {
		t.Errorf("left to send: %+v", left)
	}
	other := toSend(t, d, chat+1)
	if len(other) != 2 || other[0].Nonce == cards[0].Nonce {
		t.Errorf("another chat gets %+v", other)
	}
	decide(t, d, "t1", true)
	edit := toEdit(t, d)
	if len(edit) != 1 || edit[0].Nonce != cards[0].Nonce || edit[0].Message != 70 || edit[0].Chat != chat || edit[0].Shown != "pending-approval" ||
		edit[0].Task.ID != "t1" || edit[0].Task.By != "Ana (page)" {
		t.Fatalf("to edit: %+v", edit)
	}
	if again := toEdit(t, d); len(again) != 1 {
		t.Error("the card is forgotten before it was edited")
	}
	if err := d.CardShows(ctx, cards[0].Nonce, "approved"); err != nil {
		t.Fatal(err)
	}
	if got := toEdit(t, d); len(got) != 0 {
		t.Errorf("still to edit: %+v", got)
	}
	if _, err := do(d, "t1", task.Event{Kind: task.Claim}); err != nil {
		t.Fatal(err)
	}
	if got := toEdit(t, d); len(got) != 0 {
		t.Errorf("a change that nobody sees: %+v", got)
	}
	if _, err := do(d, "t1", task.Event{Kind: task.Start, Claim: 1}); err != nil {
		t.Fatal(err)
	}
	if got := toEdit(t, d); len(got) != 1 || got[0].Task.State != task.Executing {
		t.Errorf("while it runs: %+v", got)
	}
	if _, err := d.CardsToEdit(ctx, 0); err != nil {
		t.Error(err)
	}
}

func TestPressCard(t *testing.T) {
	t.Parallel()
	d := open(t, t.TempDir())
	pending(t, d, "t1")
	card := sent(t, d, "t1", 70)
	press := CardPress{Update: 500, Nonce: card.Nonce, Approve: true, By: "Ana (telegram:1001)", Chat: chat, Message: 70}

	for name, wrong := range map[string]func(*CardPress){
		"unknown nonce": func(p *CardPress) { p.Nonce = "AAAAAAAAAAAAAAAAAAAAAAAAAA" },
		"no nonce":      func(p *CardPress) { p.Nonce = "" },
		"another chat":  func(p *CardPress) { p.Chat = 2002 },
	} {
		p := press
		wrong(&p)
		p.Update = 400
		v, err := d.PressCard(ctx, p)
		if !errors.Is(err, ErrNoCard) || v.Changed || v.Task.ID != "" {
			t.Errorf("%s: %+v, %v", name, v, err)
		}
		is(t, d, "t1", task.Pending)
		// The update is dealt with all the same: it must not come again.
		if done, err := d.Handled(ctx, 400); !done || err != nil {
			t.Errorf("%s: handled %v, %v", name, done, err)
		}
	}
	v, err := d.PressCard(ctx, press)
	if err != nil || !v.Changed || v.Task.State != task.Approved || v.Task.By != press.By {
		t.Fatalf("press: %+v, %v", v, err)
	}
	if offset, err := d.Offset(ctx); offset != 501 || err != nil {
		t.Errorf("poll from %d, %v", offset, err)
	}
	// The same update again, and the other button, on either copy of the card.
	for _, p := range []CardPress{press, {Update: 501, Nonce: card.Nonce, Approve: false, By: "Bob", Chat: chat, Message: 71}} {
		v, err := d.PressCard(ctx, p)
		if err != nil || v.Changed || v.Refusal == "" || v.Task.By != press.By {
			t.Errorf("pressed again: %+v, %v", v, err)
		}
	}
	if edit := toEdit(t, d); len(edit) != 1 || edit[0].Message != 71 {
		t.Errorf("the copy that was pressed is the one to edit: %+v", edit)
	}
	if got := events(t, d, "t1"); got != "[open approve]" {
		t.Errorf("audited %s", got)
	}
}

// TestPressBeforeTheMessageIsNoted: the card was sent, the relay died, the
// press arrives first.
func TestPressBeforeTheMessageIsNoted(t *testing.T) {
	t.Parallel()
	d := open(t, t.TempDir())
	pending(t, d, "t1")
	card := toSend(t, d, chat)[0]
	v, err := d.PressCard(ctx, CardPress{Update: 1, Nonce: card.Nonce, Approve: false, By: "Ana", Chat: chat, Message: 70})
	if err != nil || !v.Changed || v.Task.State != task.Denied {
		t.Fatalf("%+v, %v", v, err)
	}
	if left := toSend(t, d, chat); len(left) != 0 {
		t.Errorf("to send: %+v", left)
	}
	if edit := toEdit(t, d); len(edit) != 1 || edit[0].Message != 70 {
		t.Errorf("to edit: %+v", edit)
	}
}

func TestLateCardPress(t *testing.T) {
	t.Parallel()
	d := open(t, t.TempDir())
	pending(t, d, "t1")
	card := sent(t, d, "t1", 70)
	age(t, d, "t1")
	v, err := d.PressCard(ctx, CardPress{Update: 7, Nonce: card.Nonce, Approve: true, By: "Ana", Chat: chat, Message: 70})
	if err != nil || v.Changed || v.Refusal == "" || v.Task.ID != "t1" {
		t.Errorf("%+v, %v", v, err)
	}
	if done, err := d.Handled(ctx, 7); !done || err != nil {
		t.Errorf("a late press is not dealt with: %v, %v", done, err)
	}
	is(t, d, "t1", task.Pending)
}

func TestUpdates(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	d := open(t, dir)
	if offset, err := d.Offset(ctx); offset != 0 || err != nil {
		t.Errorf("a new store polls from %d, %v", offset, err)
	}
	// After a week of silence the numbers may start anew, lower.
	for _, update := range []int{500, 501, 501, 3} {
		if err := d.Confirm(ctx, update); err != nil {
			t.Fatal(err)
		}
		if offset, err := d.Offset(ctx); offset != update+1 || err != nil {
			t.Errorf("after %d polls from %d, %v", update, offset, err)
		}
	}
	d.Close()
	d = open(t, dir)
	for update, want := range map[int]bool{500: true, 501: true, 3: true, 4: false, 502: false} {
		if done, err := d.Handled(ctx, update); done != want || err != nil {
			t.Errorf("update %d handled: %v, %v", update, done, err)
		}
	}
}

func TestManyCards(t *testing.T) {
	t.Parallel()
	d := open(t, t.TempDir())
	for i := range 5 {
		pending(t, d, fmt.Sprint("t", i))
	}
	cards, err := d.CardsToSend(ctx, chat, 3)
	if err != nil || len(cards) != 3 || cards[0].Task.ID != "t0" {
		t.Errorf("the oldest three: %v, %v", cards, err)
	}
	for i, c := range toSend(t, d, chat) {
		if err := d.CardSent(ctx, c.Nonce, 70+i, "pending-approval"); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 5 {
		decide(t, d, fmt.Sprint("t", 4-i), false)
	}
	edit, err := d.CardsToEdit(ctx, 2)
	if err != nil || len(edit) != 2 || edit[0].Task.ID != "t4" || edit[1].Task.ID != "t3" {
		t.Errorf("to edit, in the order of the changes: %v, %v", edit, err)
	}
}
