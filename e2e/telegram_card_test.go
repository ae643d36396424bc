package e2e

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"portero/shared/porterotest/botapi"
	"portero/shared/porterotest/rig"
)

// chat is a scene with a Bot API.
type chat struct {
	*scene
	TG *rig.Telegram
}

// newChat adds a Bot API with Ana as the admin, unless more says otherwise, and
// starts nothing.
func newChat(t *testing.T, more string, edits ...string) *chat {
	t.Helper()
	s := newScene(t, edits...)
	if more == "" {
		more = rig.Private
	}
	return &chat{s, s.Telegram(more)}
}

// card asks for one kit/append and waits for its card.
func (c *chat) card(line string, more ...string) (rig.Task, botapi.Message) {
	c.t.Helper()
	task := c.P.Ask("kit/append", c.Out.Args(line, more...))
	return task, c.TG.Card(rig.Admin, task.ID)
}

// The one path on Telegram: card, press, result, and the card tells of all.
func TestTelegramApprove(t *testing.T) {
	c := newChat(t, "")
	c.up()
	task, card := c.card("Dear John Doe")
	holds(t, card.Text, "kit/append", "test machine", task.Code, "Dear John Doe", "Answer by")
	if len(card.Buttons) != 1 || len(card.Buttons[0]) != 2 || card.Buttons[0][0].Text != "✅ Approve" || card.Buttons[0][1].Text != "❌ Deny" {
		t.Errorf("buttons: %v", card.Buttons)
	}
	press, _ := c.TG.Tap(card, rig.Admin, "Approve")
	holds(t, c.TG.Toast(press), "Approved", task.Code)
	result := c.P.Await(task.ID, "completed")
	done := c.TG.Becomes(card, "Approved by", "Ana", "Completed")
	if len(done.Buttons) > 0 {
		t.Errorf("a card that is done has buttons: %v", done.Buttons)
	}
	lacks(t, c.TG.Log(rig.Admin)+result, "María", "Cárdenas")
	holds(t, c.R.Await(task.ID, "completed"), "Ana")
	c.onward()
	c.Out.Want("Dear María Cárdenas")
}

func TestTelegramDeny(t *testing.T) {
	c := newChat(t, "")
	c.up()
	task, card := c.card("never")
	c.TG.Tap(card, rig.Admin, "Deny")
	holds(t, c.P.Await(task.ID, "denied"), "Ana", "Nothing ran")
	if m := c.TG.Becomes(card, "Denied by", "Ana"); len(m.Buttons) > 0 {
		t.Errorf("a card that is done has buttons: %v", m.Buttons)
	}
	c.onward()
	c.Out.Want()
}

// Every way in which a task ends without a press shows on its card.
func TestTelegramCardTellsTheEnd(t *testing.T) {
	c := newChat(t, "", `"kit/fail" = "deny"`, `"kit/fail" = "require-approval"`)
	c.up()
	task, card := c.card("withdrawn")
	c.P.Cancel(task.ID)
	c.TG.Becomes(card, "Cancelled")

	task, card = c.card("pressed on the page")
	c.R.Press(task.ID, "approve")
	c.TG.Becomes(card, "Approved by page", "Completed")

	failing := c.P.Ask("kit/fail", `{"message":"no such thing"}`)
	card = c.TG.Card(rig.Admin, failing.ID)
	c.TG.Tap(card, rig.Admin, "Approve")
	c.TG.Becomes(card, "Failed", "no such thing")

	task, card = c.card("interrupted", "wait_file", c.Path("never"))
	c.TG.Tap(card, rig.Admin, "Approve")
	c.Out.Await("interrupted")
	c.TG.Becomes(card, "Running")
	c.P.Kill()
	c.P = c.Proxy()
	c.P.Await(task.ID, "unknown")
	c.TG.Becomes(card, "Unknown", "may have run")
	c.Out.Want("pressed on the page", "interrupted")
}

// Expired on the card, and a press after that changes nothing.
func TestTelegramExpired(t *testing.T) {
	c := newChat(t, "", "[relay]", "[approvals]\nexpire_after = \"1s\"\n\n[relay]")
	c.up()
	task, card := c.card("late")
	c.TG.Becomes(card, "⌛ Expired")
	press, _ := c.TG.Tap(card, rig.Admin, "Approve")
	holds(t, c.TG.Toast(press), "expired")
	c.P.Await(task.ID, "expired")
	c.Out.Want()
}

// Pressed twice, delivered twice, pressed on both sides at once: it runs once.
func TestTelegramDoublePress(t *testing.T) {
	c := newChat(t, "")
	c.up()
	task, card := c.card("once")
	first, update := c.TG.Tap(card, rig.Admin, "Approve")
	second, _ := c.TG.Tap(card, rig.Admin, "Approve")
	third, _ := c.TG.Tap(card, rig.Admin, "Deny")
	holds(t, c.TG.Toast(first), "Approved")
	holds(t, c.TG.Toast(second), "already")
	holds(t, c.TG.Toast(third), "already")
	c.P.Await(task.ID, "completed")
	c.TG.Redeliver(update)
	c.TG.Handled()
	c.TG.Becomes(card, "Completed")

	race, card := c.card("either")
	csrf := c.R.CSRF()
	pressed := make(chan string)
	go func() { pressed <- c.R.Post(race.ID, "deny", csrf) }()
	c.TG.Tap(card, rig.Admin, "Approve")
	want := []string{"once"}
	if <-pressed == "denied" {
		c.P.Await(race.ID, "denied")
		c.TG.Becomes(card, "Denied by page")
	} else {
		c.P.Await(race.ID, "completed")
		c.TG.Becomes(card, "Approved by Ana", "Completed")
		want = append(want, "either")
	}
	c.onward()
	c.Out.Want(want...)
}

// A card was sent and its answer lost: the second card is the same one, and
// each of its buttons decides once.
func TestTelegramCardSentTwice(t *testing.T) {
	c := newChat(t, "")
	c.TG.Fail("sendMessage", 1, botapi.Failure{Status: 502, Late: true})
	c.up()
	task := c.P.Ask("kit/append", c.Out.Args("once"))
	var cards []botapi.Message
	c.Eventually("two cards", func() bool {
		cards = nil
		for _, m := range c.TG.Messages(rig.Admin) {
			if strings.Contains(m.Text, task.ID) && len(m.Buttons) > 0 {
				cards = append(cards, m)
			}
		}
		return len(cards) == 2
	})
	c.TG.Tap(cards[0], rig.Admin, "Approve")
	c.P.Await(task.ID, "completed")
	c.TG.Becomes(cards[0], "Completed")
	late, _ := c.TG.Tap(cards[1], rig.Admin, "Deny")
	holds(t, c.TG.Toast(late), "already")
	c.onward()
	c.Out.Want("once")
}

// The relay is killed after a press was committed: the decision survives, a
// redelivered press finds it, and the card is edited by the next relay.
func TestTelegramRelayKilledAfterThePress(t *testing.T) {
	c := newChat(t, "")
	c.up()
	task, card := c.card("once", "wait_file", c.Path("go"))
	_, update := c.TG.Tap(card, rig.Admin, "Approve")
	c.Out.Await("once")
	c.R.Kill()
	c.Touch("go")
	c.P.Await(task.ID, "completed")
	c.TG.Redeliver(update)
	c.R = c.Relay()
	c.TG.Becomes(card, "Approved by", "Ana", "Completed")
	c.TG.Handled()
	again, _ := c.TG.Tap(card, rig.Admin, "Deny")
	holds(t, c.TG.Toast(again), "already", "Ana")
	c.onward()
	c.Out.Want("once")
}

// The relay is killed at any moment around a press: Telegram keeps the press
// until it is confirmed, so nothing has to be pressed again.
func TestTelegramRelayKilledAnywhere(t *testing.T) {
	c := newChat(t, "")
	c.up()
	for range 6 {
		line := rig.Name()
		task, card := c.card(line)
		after := time.Duration(rand.IntN(8_000)) * time.Microsecond
		_, update := c.TG.Tap(card, rig.Admin, "Approve")
		time.Sleep(after) // the moment of the crash, not a wait for anything
		c.R.Kill()
		c.R = c.Relay()
		c.P.Await(task.ID, "completed")
		c.TG.Find(rig.Admin, task.ID, "Approved by", "Completed")
		c.TG.Redeliver(update)
		c.TG.Handled()
		for _, m := range c.TG.Messages(rig.Admin) {
			// Killed between sending a card and noting it, the relay has sent
			// another one; a press on the one that was left tells how it is.
			if strings.Contains(m.Text, task.ID) && len(m.Buttons) > 0 {
				late, _ := c.TG.Tap(m, rig.Admin, "Deny")
				holds(t, c.TG.Toast(late), "already")
				c.TG.Becomes(m, "Approved by", "Completed")
			}
		}
		if runs := c.Out.Count(line); runs != 1 {
			t.Errorf("killed %v after the press: it ran %d times", after, runs)
		}
		c.P.Kill() // a new process does not wait long before it connects
		c.P = c.Proxy()
	}
	c.onward()
	for _, line := range c.Out.Lines() {
		if c.Out.Count(line) != 1 {
			t.Errorf("%s ran %d times in the end", line, c.Out.Count(line))
		}
	}
}
