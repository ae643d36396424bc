package proxy

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"portero/proxy/journal"
	"portero/proxy/link"
	"portero/proxy/mask"
	"portero/shared/task"
	"portero/shared/wire"
)

func TestFakeForm(t *testing.T) {
	pairs := []mask.Pair{
		person,
		{Fake: "PHONE", Real: "5551234"}, // a number that its fake cannot stand in for
		{Fake: "4242", Real: "9876"},     // one that it can
		{Fake: "KEY", Real: "sk-live-secret", OneWay: true, Placeholder: "***"},
		{Fake: "Ann", Real: "Eva Mill"}, // two fakes of one name
		{Fake: "Anna", Real: "Eva Mill"},
	}
	for _, tc := range []struct{ name, args, want, refused string }{
		{"nothing to do", `{"a":1.0, "b":["x"]}`, `{"a":1.0, "b":["x"]}`, ""},
		{"fake as written", `{"John Doe":"to John Doe","n":4242,"p":"PHONE"}`, `{"John Doe":"to John Doe","n":4242,"p":"PHONE"}`, ""},
		{"escaped fake stays so", `{"a":"\u004aohn Doe"}`, `{"a":"\u004aohn Doe"}`, ""},
		{"the client wrote a real value", `{"a":"to María Cárdenas","n":9876}`, `{"a":"to John Doe","n":4242}`, ""},
		{"in a key", `{"María Cárdenas":1}`, `{"John Doe":1}`, ""},
		{"both", `{"a":"John Doe and María Cárdenas"}`, `{"a":"John Doe and John Doe"}`, ""},
		{"a fake that only comes in is kept", `{"k":"KEY"}`, `{"k":"KEY"}`, ""},
		{"a one-way real value has no way back", `{"k":"sk-live-secret"}`, "", "cannot be kept in fake form: write the fake value instead"},
		{"a number without a fake", `{"p":5551234}`, "", "the real value of the replacement of PHONE: write the fake value instead"},
		{"a real value beside a number without a fake", `{"a":"María Cárdenas","p":5551234}`, "", "the real value of the replacement of PHONE"},
		{"the second fake of a real value", `{"a":"Anna"}`, `{"a":"Anna"}`, ""},
		{"a real value with two fakes", `{"a":"Eva Mill"}`, `{"a":"Ann"}`, ""},
		{"an escaped real value", `{"a":"Mar\u00eda C\u00e1rdenas"}`, "", "cannot be kept in fake form"},
		{"too large", `{"a":"` + strings.Repeat("x", wire.MaxArgs) + `"}`, "", fmt.Sprintf("more than the %d that can be put before a human: send less at a time", wire.MaxArgs)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := anonymous(t, pairs...)
			args := []byte(tc.args)
			real, _, err := p.opt.Table.Restore(args)
			if err != nil {
				t.Fatal(err)
			}
			fake, err := p.fakeForm(args)
			if string(args) != tc.args {
				t.Errorf("the arguments were changed to %s", args)
			}
			if tc.refused != "" {
				if err == nil {
					t.Fatalf("accepted as %.300s", fake)
				}
				sees(t, err.Error(), tc.refused)
				return
			}
			if err != nil || string(fake) != tc.want {
				t.Fatalf("%s, %v; want %s", fake, err, tc.want)
			}
			// What rests on disk tells no real value and comes back as what would run.
			if _, leak := p.opt.Table.Leak(fake, mask.Payload); leak {
				t.Error("it holds a real value")
			}
			if back, _, err := p.opt.Table.Restore(fake); err != nil || !bytes.Equal(back, real) {
				t.Errorf("it comes back as %s, not %s", back, real)
			}
		})
	}
}

// TestExplain: every state says how it stands and what to do, with or without
// a relay.
func TestExplain(t *testing.T) {
	offline := anonymous(t)
	unlinked := anonymous(t)
	unlinked.link = link.New(link.Options{Logger: slog.New(slog.DiscardHandler)})
	want := map[task.State][2]string{
		task.Queued:    {"No relay is configured: the user can set [link]", "The relay is not connected (not connected yet)"},
		task.Pending:   {"Waiting for a human", "Waiting for a human"},
		task.Approved:  {"Approved; it runs as soon as the relay can be reached again", "Approved; it runs as soon as"},
		task.Claimed:   {"Approved; it runs as soon as the relay can be reached again", "Approved; it runs as soon as"},
		task.Executing: {"It is being run", "It is being run"},
		task.Completed: {"Completed", "Completed"},
		task.Failed:    {"It failed (why)", "It failed (why)"},
		task.Denied:    {"Denied (why). Nothing ran. Do not retry", "Denied (why)"},
		task.Expired:   {"It expired (why). Nothing ran. Make the call again", "It expired (why)"},
		task.Cancelled: {"It was withdrawn (why). Nothing ran", "It was withdrawn (why)"},
		task.Unknown:   {"The outcome is unknown (why): it may have run. Do not retry", "The outcome is unknown (why)"},
	}
	for _, state := range task.States {
		for i, p := range []*Proxy{offline, unlinked} {
			text := p.explain(journal.Task{ID: "t_1", Code: "AB12", State: state, Reason: "why"})
			if want[state][i] == "" {
				t.Fatalf("no expectation for %s", state)
			}
			sees(t, text, want[state][i])
			if !state.Ended() {
				sees(t, text, `Do not repeat the call; go on with other work and ask portero/check_task with task_id="t_1"`)
			}
			if (state == task.Queued || state == task.Pending) != strings.Contains(text, "(code AB12)") {
				t.Errorf("%s: %s", state, text)
			}
			if bare := p.explain(journal.Task{ID: "t_1", State: state}); strings.Contains(bare, "()") || bare == "" || !strings.HasSuffix(bare, ".") {
				t.Errorf("%s without a reason: %q", state, bare)
			}
		}
	}
}
