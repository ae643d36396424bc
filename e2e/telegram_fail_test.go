package e2e

import (
	"strings"
	"testing"

	"portero/shared/porterotest/botapi"
	"portero/shared/porterotest/rig"
)

// Telegram is out of order in every way it knows, at the start and in the
// middle: the relay stays up, the page approves, and when Telegram is back the
// cards of what still waits arrive and their buttons work.
func TestTelegramOutOfOrder(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]struct {
		method string
		botapi.Failure
		log string
	}{
		"409":            {"getUpdates", botapi.Failure{Status: 409, Description: "Conflict: terminated by other getUpdates request"}, "another program polls"},
		"429":            {"*", botapi.Failure{Status: 429, RetryAfter: 1, Description: "Too Many Requests: retry after 1"}, "slow down"},
		"429 for a card": {"sendMessage", botapi.Failure{Status: 429, RetryAfter: 1}, "slow down"},
		"500":            {"*", botapi.Failure{Status: 500}, "out of order (HTTP 500)"},
		"502 in HTML":    {"*", botapi.Failure{Status: 502, HTML: true}, "out of order (HTTP 502)"},
		"200 in HTML":    {"*", botapi.Failure{Status: 200, HTML: true}, "unreadable answer"},
		"cut":            {"*", botapi.Failure{Cut: true}, "unreadable answer"},
		"hung up":        {"*", botapi.Failure{Drop: true}, "cannot be reached"},
	} {
		t.Run(name, func(t *testing.T) {
			c := newChat(t, "")
			c.TG.Fail(f.method, -1, f.Failure)
			c.up()
			c.survive(f.method == "getUpdates" || f.RetryAfter > 0)
			c.Eventually("the log names the fault", func() bool { return strings.Contains(c.R.Stderr(), f.log) })
			c.TG.Fail(f.method, 0, botapi.Failure{})
			c.recovered()

			c.TG.Fail(f.method, -1, f.Failure)
			c.TG.Send(rig.Admin, rig.Admin, "the poll under way ends, the next one fails")
			c.survive(true)
			c.TG.Fail(f.method, 0, botapi.Failure{})
			c.recovered()
			lacks(t, c.R.Stderr(), rig.BotToken)
		})
	}
}

// survive has a call approved on the page while Telegram is out of order.
func (c *chat) survive(patient bool) {
	c.t.Helper()
	out := c.Effects()
	task := c.P.Ask("kit/append", out.Args("by page"))
	c.R.Press(task.ID, "approve")
	c.P.Await(task.ID, "completed")
	out.Want("by page")
	if !c.R.Healthy() {
		c.t.Error("the relay is not healthy")
	}
	if !patient {
		// The fault has been met by what was to be sent.
		tries := func() int { return c.TG.Calls()["getMe"] + c.TG.Calls()["getUpdates"] }
		n := tries()
		c.Eventually("Telegram is tried again", func() bool { return tries() > n })
	}
}

// recovered has a call approved on its card.
func (c *chat) recovered() {
	c.t.Helper()
	out := c.Effects()
	task := c.P.Ask("kit/append", out.Args("by card"))
	card := c.TG.Card(rig.Admin, task.ID)
	c.TG.Tap(card, rig.Admin, "Approve")
	c.P.Await(task.ID, "completed")
	c.TG.Becomes(card, "Approved by", "Completed")
	out.Want("by card")
}

// A card that could not be sent for a while arrives, and one whose task was
// decided meanwhile does not.
func TestTelegramCardsArriveAfterwards(t *testing.T) {
	c := newChat(t, "")
	c.TG.Fail("*", -1, botapi.Failure{Status: 502, HTML: true})
	c.up()
	waits, decided := c.ask("waits"), c.ask("decided")
	c.R.Press(decided.ID, "approve")
	c.P.Await(decided.ID, "completed")
	c.TG.Fail("*", 0, botapi.Failure{})
	card := c.TG.Card(rig.Admin, waits.ID)
	c.TG.Tap(card, rig.Admin, "Approve")
	c.P.Await(waits.ID, "completed")
	c.TG.Becomes(card, "Completed")
	lacks(t, c.TG.Log(rig.Admin), decided.Code)
	c.Out.Want("decided", "waits")
}

// A call of the Bot API that never ends holds up Telegram until its time is
// over, and nothing else at all.
func TestTelegramHangs(t *testing.T) {
	t.Parallel()
	t.Run("at the start", func(t *testing.T) {
		c := newChat(t, "")
		c.TG.Fail("*", -1, botapi.Failure{Hang: true})
		c.up()
		c.survive(true)
		c.TG.Fail("*", 0, botapi.Failure{})
		c.recovered()
	})
	t.Run("in the middle", func(t *testing.T) {
		c := newChat(t, "")
		c.up()
		c.recovered()
		c.TG.Handled()
		c.TG.Fail("sendMessage", -1, botapi.Failure{Hang: true})
		c.survive(true)
		c.Eventually("a card hangs", func() bool { return c.TG.Calls()["sendMessage"] > 1 })
		c.TG.Fail("sendMessage", 0, botapi.Failure{})
		c.recovered()
	})
}

// A wrong bot token: said in the log with the remedy, never with the token; the
// page works, and with the right token the card of what waits arrives.
func TestTelegramWrongBotToken(t *testing.T) {
	const wrong = "7000:AA-a-secret-of-another-bot_9876543210"
	c := newChat(t, "")
	c.Edit(rig.BotToken, wrong)
	c.up()
	c.survive(true)
	task := c.P.Ask("kit/append", c.Out.Args("waits"))
	c.Eventually("the log names the fault", func() bool {
		return strings.Contains(c.R.Stderr(), "401") && strings.Contains(c.R.Stderr(), "bot_token")
	})
	lacks(t, c.R.Stderr(), wrong, "another-bot")
	c.R.Kill()
	c.Edit(wrong, rig.BotToken)
	c.R = c.Relay()
	card := c.TG.Card(rig.Admin, task.ID)
	c.TG.Tap(card, rig.Admin, "Approve")
	c.P.Await(task.ID, "completed")
	c.TG.Becomes(card, "Completed")
	c.Out.Want("waits")
}

// The Bot API is not there at all, and the chat refuses the bot: the page works.
func TestTelegramUnreachable(t *testing.T) {
	t.Parallel()
	t.Run("nobody listens", func(t *testing.T) {
		c := newChat(t, "")
		c.TG.Close()
		c.up()
		c.survive(true)
		c.Eventually("the log names the fault", func() bool { return strings.Contains(c.R.Stderr(), "cannot be reached") })
		lacks(t, c.R.Stderr(), rig.BotToken)
	})
	t.Run("blocked", func(t *testing.T) {
		c := newChat(t, "")
		c.TG.Block(rig.Admin, true)
		c.up()
		c.survive(true)
		task := c.P.Ask("kit/append", c.Out.Args("waits"))
		c.Eventually("the log names the fault", func() bool { return strings.Contains(c.R.Stderr(), "press Start") })
		c.TG.Block(rig.Admin, false)
		c.TG.Say(rig.Admin, "/start") // the person is back
		c.TG.Tap(c.TG.Card(rig.Admin, task.ID), rig.Admin, "Approve")
		c.P.Await(task.ID, "completed")
		c.Out.Want("waits")
	})
}
