package e2e

import (
	"fmt"
	"strings"
	"testing"

	"portero/shared/porterotest/rig"
)

const (
	stranger = 6600
	group    = -1004200
	member   = 7700
)

// A stranger, and a button that is not from the card, decide nothing; the admin
// is told.
func TestTelegramStrangerPresses(t *testing.T) {
	c := newChat(t, "")
	c.TG.AddUser(stranger, "Mallory")
	c.up()
	task, card := c.card("never")
	data := card.Buttons[0][0].Data
	press, _ := c.TG.Tap(card, stranger, "Approve")
	holds(t, c.TG.Toast(press), "Unauthorized")
	c.TG.Find(rig.Admin, "press was refused", "Mallory", "Nothing happened")

	nobody, _ := c.TG.PressRaw(rig.Admin, card.ID, 0, data)
	holds(t, c.TG.Toast(nobody), "Unauthorized")
	own, _ := c.TG.PressRaw(stranger, 1, stranger, data) // copied to a message of one's own
	holds(t, c.TG.Toast(own), "Unauthorized")
	forged, _ := c.TG.PressRaw(rig.Admin, card.ID, rig.Admin, "a"+strings.Repeat("A", 26))
	holds(t, c.TG.Toast(forged), "not found")
	for _, junk := range []string{"a", "x" + data[1:], data[:20], task.ID} {
		press, _ := c.TG.PressRaw(rig.Admin, card.ID, rig.Admin, junk)
		holds(t, c.TG.Toast(press), "of no use")
	}
	c.TG.Handled()
	if now, _ := c.P.Check(task.ID, 0); now.Status != "pending-approval" {
		t.Errorf("after all that it is %s", now.Status)
	}
	c.R.Press(task.ID, "deny")
	c.P.Await(task.ID, "denied")
	c.onward()
	c.Out.Want()
}

// In a group only those who are named may press.
func TestTelegramGroup(t *testing.T) {
	c := newChat(t, fmt.Sprintf("admin_chat_id = %d\nadmin_user_ids = [%d]", group, rig.Admin))
	c.TG.AddChat(group, "supergroup", "Ops")
	c.TG.AddUser(member, "Bob")
	c.up()
	task := c.P.Ask("kit/append", c.Out.Args("once"))
	card := c.TG.Card(group, task.ID)
	press, _ := c.TG.Tap(card, member, "Approve")
	holds(t, c.TG.Toast(press), "Unauthorized")
	c.TG.Find(group, "press was refused", "Bob")
	anonymous, _ := c.TG.Tap(card, 1087968824, "Approve") // an anonymous admin of the group
	holds(t, c.TG.Toast(anonymous), "Unauthorized")
	c.TG.Handled()
	if now, _ := c.P.Check(task.ID, 0); now.Status != "pending-approval" {
		t.Errorf("after a member's press it is %s", now.Status)
	}
	c.Out.Want()
	c.TG.Tap(card, rig.Admin, "Approve")
	c.P.Await(task.ID, "completed")
	c.TG.Becomes(card, "Approved by", "Ana", "Completed")
	c.onward()
	c.Out.Want("once")
}

// In a group without named users nobody may press, and the alert says how to
// change that.
func TestTelegramGroupWithoutAdmins(t *testing.T) {
	c := newChat(t, fmt.Sprintf("admin_chat_id = %d", group))
	c.TG.AddChat(group, "supergroup", "Ops")
	c.up()
	task := c.P.Ask("kit/append", c.Out.Args("never"))
	card := c.TG.Card(group, task.ID)
	press, _ := c.TG.Tap(card, rig.Admin, "Approve")
	holds(t, c.TG.Toast(press), "Unauthorized")
	c.TG.Find(group, "admin_user_ids", fmt.Sprint(rig.Admin))
	c.R.Press(task.ID, "deny")
	c.P.Await(task.ID, "denied")
	c.Out.Want()
}

func TestTelegramCommands(t *testing.T) {
	c := newChat(t, "pairing_code = \"7Q2M-K4XD\"\n"+rig.Private)
	c.TG.AddUser(stranger, "Mallory")
	c.up()
	c.TG.Say(rig.Admin, "/help", "/status", "/pending", "/tasks", "/whoami", "/pair")
	c.TG.Say(rig.Admin, "/start", "/help")
	c.TG.Say(rig.Admin, "/whoami", fmt.Sprintf("chat_id: %d", rig.Admin), fmt.Sprintf("user_id: %d", rig.Admin))
	c.TG.Say(rig.Admin, "/pending", "No pending approvals")
	c.TG.Say(rig.Admin, "/tasks", "No tasks yet")
	c.TG.Say(rig.Admin, "/nonsense", "/help")
	c.TG.Say(rig.Admin, "/pair 7Q2M-K4XD", "admin_chat_id")

	yes, card := c.card("yes")
	no, _ := c.card("no")
	c.TG.Say(rig.Admin, "/pending", "(2)", yes.Code, no.Code, "kit/append")
	c.TG.Say(rig.Admin, "/status@"+"portero_test_bot", "Pending approvals: 2", "1 of 1 connected", "test machine")
	c.TG.Tap(card, rig.Admin, "Approve")
	c.P.Await(yes.ID, "completed")
	c.R.Press(no.ID, "deny")
	c.TG.Say(rig.Admin, "/tasks", "completed", "denied", yes.ID[:8])
	c.P.Kill()
	c.Eventually("the machine is seen to be away", func() bool { return strings.Contains(c.R.Stderr(), "link ended") })
	c.TG.Say(rig.Admin, "/status", "Pending approvals: 0", "0 of 1 connected")
	var names []string
	for _, command := range c.TG.Commands() {
		names = append(names, command.Command)
	}
	holds(t, strings.Join(names, " "), "status", "pending", "tasks", "whoami", "pair", "help")

	// Whoever is not the admin is told nothing of all that.
	c.TG.Say(stranger, "/status", "Unauthorized")
	c.TG.Say(stranger, "/whoami", fmt.Sprintf("user_id: %d", stranger))
	for _, command := range []string{"/pending", "/tasks", "/help", "hello"} {
		c.TG.Send(stranger, stranger, command)
	}
	c.TG.Handled()
	lacks(t, c.TG.Log(stranger), "kit", yes.Code, yes.ID, "test machine")
}

// Pairing makes a chat the admin's, once, with the code, and for good.
func TestTelegramPair(t *testing.T) {
	c := newChat(t, `pairing_code = "7Q2M-K4XD"`)
	c.TG.AddUser(stranger, "Mallory")
	c.up()
	task := c.P.Ask("kit/append", c.Out.Args("once"))
	c.TG.Say(rig.Admin, "/start", "no admin chat yet", "/pair")
	c.TG.Say(rig.Admin, "/status", "Not paired")
	c.TG.Say(rig.Admin, "/pair", "Usage")
	c.TG.Say(rig.Admin, "/pair 7Q2M-K4XE", "Invalid pairing code")
	lacks(t, c.TG.Log(rig.Admin), task.Code)
	c.TG.Say(rig.Admin, "/pair 7Q2M-K4XD", "Paired")
	card := c.TG.Card(rig.Admin, task.ID)
	c.TG.Say(stranger, "/pair 7Q2M-K4XD", "paired with another chat")
	c.TG.Say(rig.Admin, "/pair 7Q2M-K4XD", "already")
	c.R.Kill()
	c.R = c.Relay()
	c.TG.Tap(card, rig.Admin, "Approve")
	c.P.Await(task.ID, "completed")
	c.TG.Becomes(card, "Completed")
	press, _ := c.TG.Tap(card, stranger, "Approve")
	holds(t, c.TG.Toast(press), "Unauthorized")
	c.onward()
	c.Out.Want("once")
}

// Codes cannot be tried out.
func TestTelegramPairIsLocked(t *testing.T) {
	c := newChat(t, `pairing_code = "7Q2M-K4XD"`)
	c.TG.AddUser(stranger, "Mallory")
	c.R = c.Relay()
	for i := range 5 {
		c.TG.Say(stranger, fmt.Sprintf("/pair guess-%d", i), "Invalid pairing code")
	}
	c.TG.Say(stranger, "/pair 7Q2M-K4XD", "locked")
	c.TG.Say(rig.Admin, "/pair 7Q2M-K4XD", "locked")
}

// Without a code nobody pairs, also not with an empty one.
func TestTelegramPairDisabled(t *testing.T) {
	c := newChat(t, `pairing_code = ""`)
	c.R = c.Relay()
	c.TG.Say(rig.Admin, "/pair", "disabled")
	c.TG.Say(rig.Admin, "/pair x", "disabled")
}
