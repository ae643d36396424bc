package telegram

import (
	"fmt"
	"strings"
	"testing"
	"time"

	tgbotapi "github.com/go-telegram-bot-api/telegram-bot-api/v5"

	"portero/shared/task"
	"portero/shared/wire"
)

// says sends a text and returns the bot's next message in that chat.
func (r *rig) says(chat, user int64, text string) string {
	r.Helper()
	before := r.answers(chat)
	r.api.Send(chat, user, text)
	err := r.api.Wait(r.ctx, func() bool { return len(r.answers(chat)) > len(before) })
	if err != nil {
		r.Fatalf("no answer to %q", text)
	}
	return r.answers(chat)[len(before)]
}

func (r *rig) answers(chat int64) (all []string) {
	for _, m := range r.api.Messages(chat) {
		if m.From == 7000 {
			all = append(all, m.Text)
		}
	}
	return all
}

// silent sends texts and checks that they get no answer.
func (r *rig) silent(chat, user int64, texts ...string) {
	r.Helper()
	before := len(r.answers(chat))
	for _, text := range texts {
		r.api.Send(chat, user, text)
	}
	r.settled()
	// The sender is in order: once this is answered, all before it would be.
	r.says(admin, admin, "/whoami")
	if got := r.answers(chat); len(got) > before && chat != admin {
		r.Errorf("answers to %q: %q", texts, got[before:])
	}
}

func unpaired(r *rig) { r.opt.AdminChat, r.opt.PairingCode = 0, "7Q2M-K4XD" }

func TestPairing(t *testing.T) {
	t.Parallel()
	r := start(t, unpaired)
	r.ask("t1", `{}`)
	if got := r.says(admin, admin, "/start"); !strings.Contains(got, "/pair CODE") || !strings.Contains(got, "no admin chat") {
		t.Errorf("start: %q", got)
	}
	for _, tt := range []struct{ say, want string }{
		{"/status", "🔐 Not paired yet. Use /pair <PAIRING_CODE>."},
		{"/whoami", "chat_id: 1001\nuser_id: 1001"},
		{"/pair", "Usage: /pair CODE\nExample: /pair 7Q2M-K4XD"},
		{"/pair two words", "Usage: /pair CODE\nExample: /pair 7Q2M-K4XD"},
		{"/pair 7q2m-k4xd", "Invalid pairing code."},
		{"/pair@another_bot 7Q2M-K4XD", ""},
	} {
		if tt.want == "" {
			r.api.Send(admin, admin, tt.say)
		} else if got := r.says(admin, admin, tt.say); got != tt.want {
			t.Errorf("%s: %q", tt.say, got)
		}
	}
	r.api.Send(admin, admin, "/pair@Portero_Test_Bot 7Q2M-K4XD")
	r.message(admin, "✅ Paired! This chat is now the admin chat for approvals.")
	r.toast(r.api.Press(r.card("t1"), admin, "✅ Approve"))
	r.state("t1", task.Approved)

	if got := r.says(guest, guest, "/pair 7Q2M-K4XD"); got != "This relay is paired with another chat already." {
		t.Errorf("second pairing: %q", got)
	}
	if got := r.says(admin, admin, "/pair 7Q2M-K4XD"); got != "This chat is the admin chat already." {
		t.Errorf("same pairing: %q", got)
	}
	r.restart()
	if got := r.says(admin, admin, "/pending"); got != "No pending approvals." {
		t.Errorf("after a restart: %q", got)
	}
	if n := r.audited("pair"); n != 1 {
		t.Errorf("%d pairings on record", n)
	}
}

func TestPairingIsLocked(t *testing.T) {
	r := start(t, unpaired)
	for i := range maxWrong {
		who := int64(guest)
		if i == 2 {
			who = admin
		}
		if got := r.says(who, who, fmt.Sprintf("/pair %d", i)); got != "Invalid pairing code." {
			t.Errorf("try %d: %q", i, got)
		}
	}
	for range 2 {
		if got := r.says(admin, admin, "/pair 7Q2M-K4XD"); !strings.HasPrefix(got, "🔒 Too many wrong codes: pairing is locked. Try again in 59 min") {
			t.Errorf("after %d wrong codes: %q", maxWrong, got)
		}
	}
	if n := r.audited("pair-refused"); n != maxWrong {
		t.Errorf("%d alerts on record", n)
	}
	r.stop()
	for i := range r.bot.wrong {
		r.bot.wrong[i] = r.bot.wrong[i].Add(-time.Hour)
	}
	if err := r.bot.pair(r.ctx, 1, &tgbotapi.User{ID: admin}, []string{"7Q2M-K4XD"}); err != nil {
		t.Fatal(err)
	}
	if a, paired, err := r.desk.Paired(r.ctx); !paired || a.User != admin {
		t.Errorf("an hour later: %v %v %v", a, paired, err)
	}
}

func TestPairingIsOff(t *testing.T) {
	r := start(t, func(r *rig) { r.opt.PairingCode = "x" })
	if got := r.says(guest, guest, "/pair x"); !strings.HasPrefix(got, "Pairing is off: admin_chat_id") {
		t.Errorf("with admin_chat_id: %q", got)
	}
	r = start(t, func(r *rig) { r.opt.AdminChat = 0 })
	if got := r.says(admin, admin, "/pair x"); got != "Pairing is disabled (PAIRING_CODE not set on server)." {
		t.Errorf("without a code: %q", got)
	}
	r = start(t, unpaired, func(r *rig) { r.opt.AdminUsers = []int64{admin} })
	if got := r.says(guest, guest, "/pair 7Q2M-K4XD"); !strings.Contains(got, "you (2002) are not in admin_user_ids") {
		t.Errorf("not in admin_user_ids: %q", got)
	}
	if got := r.says(group, admin, "/pair 7Q2M-K4XD"); got != "Pairing works in a private chat with this bot only." {
		t.Errorf("in a group: %q", got)
	}
	if _, paired, err := r.desk.Paired(r.ctx); paired || err != nil {
		t.Error("paired", err)
	}
}

func TestWhatStrangersGet(t *testing.T) {
	t.Parallel()
	r := start(t)
	if got := r.says(guest, guest, "/whoami"); got != "chat_id: 2002\nuser_id: 2002" {
		t.Errorf("whoami: %q", got)
	}
	if got := r.says(guest, guest, "/status"); got != "⛔ Unauthorized" {
		t.Errorf("status: %q", got)
	}
	r.silent(guest, guest, "/status", "/pending", "/tasks", "/start", "/nonsense", "hello", "", "/", "/@portero_test_bot")
	if got := r.says(group, guest, "/whoami@portero_test_bot"); got != "chat_id: -3003\nuser_id: 2002" {
		t.Errorf("whoami in a group: %q", got)
	}
	r.silent(group, guest, "/whoami", "/status", "/pending", "hello")
	r.silent(group, 0, "/status")

	// Even what anybody gets is limited.
	for range 40 {
		r.api.Send(guest, guest, "/whoami")
	}
	r.settled()
	r.says(admin, admin, "/whoami")
	if n := len(r.answers(guest)); n > 25 {
		t.Errorf("%d answers to a stranger", n)
	}
}

func TestAnonymousAdminInTheAdminGroup(t *testing.T) {
	r := start(t, func(r *rig) { r.opt.AdminChat, r.opt.AdminUsers = group, []int64{admin} })
	r.api.Push("message", map[string]any{
		"message_id": 9, "date": 1, "chat": map[string]any{"id": group, "type": "supergroup"}, "text": "/pending",
		"from": map[string]any{"id": admin, "first_name": "Ana"}, "sender_chat": map[string]any{"id": group, "type": "supergroup"},
	})
	r.message(group, "⛔ Unauthorized")
	if got := r.says(group, admin, "/pending"); got != "No pending approvals." {
		t.Errorf("the same person by name: %q", got)
	}
}

func TestCommands(t *testing.T) {
	t.Parallel()
	r := start(t)
	r.ready()
	if got := r.api.Commands(); len(got) != len(commands) || got[0].Command != "status" {
		t.Errorf("registered %v", got)
	}
	for _, tt := range []struct{ say, want string }{
		{"/help", "/pair – Make this chat"},
		{"/start@portero_test_bot", "/pending – What waits"},
		{"/PENDING", "No pending approvals."},
		{"/tasks", "No tasks yet."},
		{"/frobnicate <b>", "There is no command /frobnicate. /help lists them.\nExample: /pending"},
		{"/status", "Portero relay v0"},
	} {
		if got := r.says(admin, admin, tt.say); !strings.Contains(got, tt.want) {
			t.Errorf("%s: %q", tt.say, got)
		}
	}
	r.silent(admin, admin, "hello", "/status@another_bot")

	r.ask("task-one", `{}`)
	r.card("task-one")
	r.ask("task-two", `{}`)
	r.toast(r.api.Press(r.card("task-two"), admin, "❌ Deny"))
	if err := r.desk.SawMachine(r.ctx, "laptop", "lap", "v1"); err != nil {
		t.Fatal(err)
	}
	if err := r.desk.SawMachine(r.ctx, "server", "srv\nTool: x", "v1"); err != nil {
		t.Fatal(err)
	}
	r.desk.Connected("laptop", 2)
	for _, tt := range []struct {
		say  string
		want []string
	}{
		{"/pending", []string{"Pending approvals (1)", "• github/create_issue · code 7K3F · just now\n  task-one"}},
		{"/tasks", []string{"⏳ pending-approval\n• github/create_issue · task-one · just now", "❌ denied\n• github/create_issue · task-two"}},
		{"/status", []string{"Pending approvals: 1\n", "❌ denied: 1\n", "Machines: 1 of 2 connected",
			"• lap (token laptop) connected, 2 running", "• srv⟨U+000A⟩Tool: x (token server) not connected, seen just now"}},
	} {
		got := r.says(admin, admin, tt.say)
		for _, want := range tt.want {
			if !strings.Contains(got, want) {
				t.Errorf("%s without %q:\n%s", tt.say, want, got)
			}
		}
	}
}

// Long lists are cut, and say so; hostile names do not break them.
func TestLongAnswers(t *testing.T) {
	t.Parallel()
	r := start(t)
	r.stop()
	for i := range 60 {
		_, err := r.desk.OpenTask(r.ctx, "laptop", wire.Hello{Machine: "lap", Journal: "j"}, wire.Open{
			Task: fmt.Sprintf("t%02d", i), Binding: "b", Code: "7K3F", Session: "p", Rule: "r", Tool: strings.Repeat("<&>\u202e\n", 20), Args: []byte(`{}`), TTLMS: 60_000,
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := r.desk.SawMachine(r.ctx, fmt.Sprintf("m%02d", i), strings.Repeat("<\u202e>", 50), "x"); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"pending", "tasks", "status"} {
		var p page
		if err := r.bot.answer(r.ctx, &p, name, admin, admin); err != nil {
			t.Fatal(err)
		}
		if p.n > 4096 || !strings.Contains(p.String(), "more") {
			t.Errorf("%s: %d units\n%s", name, p.n, p.String())
		}
	}
}
