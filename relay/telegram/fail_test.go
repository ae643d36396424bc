package telegram

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	tgbotapi "github.com/go-telegram-bot-api/telegram-bot-api/v5"

	"portero/shared/porterotest/botapi"
	"portero/shared/task"
)

var long = strings.Repeat("All work and no play makes John Doe a dull boy. ", 100)

func TestWrongToken(t *testing.T) {
	r := start(t, func(r *rig) {
		r.opt.Token = token + "y"
		r.opt.knobs.backoffMax = time.Hour
		r.ask("t1", `{}`)
	})
	r.health("refuses the bot token (401 Unauthorized): check bot_token")
	r.eventually("the card was tried", func() bool { return r.api.Calls()["sendMessage"] == 1 })
	r.bot.wake()
	r.ask("t2", `{}`)
	if c := r.api.Calls(); c["getMe"] != 1 || c["sendMessage"] != 1 {
		t.Errorf("calls %v: a wrong token is not worth hurrying", c)
	}
	if !strings.Contains(r.logs.String(), "level=ERROR") {
		t.Error("not logged as an error")
	}
}

func TestNotFound(t *testing.T) {
	r := start(t, func(r *rig) { r.opt.APIURL += "/elsewhere" })
	r.health("bot_token or api_url in [telegram] is wrong")
}

func TestUnreachable(t *testing.T) {
	s := httptest.NewServer(nil)
	s.Close()
	r := start(t, func(r *rig) {
		r.opt.APIURL = s.URL
		r.ask("t1", `{}`)
	})
	r.health("cannot be reached: getMe: ")
	if p := r.bot.Health().Problem; !strings.Contains(p, "bot<token>/getMe") {
		t.Errorf("problem %q", p)
	}
}

// No way of failing may show the token, whatever the address looks like.
func TestErrorsHideTheToken(t *testing.T) {
	echo := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		fmt.Fprintf(w, `{"ok":false,"error_code":400,"description":"no such path: %s"}`, req.URL.Path)
	}))
	defer echo.Close()
	for _, secret := range []string{token, "1:a/b?c%41 d\n", "ü:\x00"} {
		for _, address := range []string{"http://127.0.0.1:1", "http://[::1", "%zz", "http://a b/", "", "unknown://x", "http://100%25.invalid", echo.URL} {
			a := newAPI(secret, address)
			for _, err := range []error{
				a.call(t.Context(), time.Second, "getMe", nil, nil),
				func() error {
					_, err := a.upload(t.Context(), time.Second, tgbotapi.NewDocument(1, tgbotapi.FileBytes{Name: "x", Bytes: []byte("y")}))
					return err
				}(),
			} {
				if err == nil {
					t.Fatalf("%q worked", address)
				}
				_, tail, _ := strings.Cut(strings.TrimSpace(secret), ":")
				if strings.Contains(err.Error(), tail) {
					t.Errorf("%q: %q", address, err)
				}
			}
		}
	}
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
		t.Errorf("redirected: %s, referer %q", req.URL, req.Referer())
	}))
	defer other.Close()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		http.Redirect(w, req, other.URL+req.URL.Path, http.StatusTemporaryRedirect)
	}))
	defer s.Close()
	if err := newAPI(token, s.URL).call(t.Context(), time.Second, "getMe", nil, nil); err == nil || !strings.Contains(err.Error(), "HTTP 307") {
		t.Errorf("error %v", err)
	}
}

func TestConflict(t *testing.T) {
	r := start(t)
	r.health("")
	r.api.Fail("getUpdates", -1, botapi.Failure{Code: 409, Description: "Conflict: terminated by other getUpdates request; make sure that only one bot instance is running"})
	r.api.Send(admin, admin, "/help") // ends the poll under way
	r.health("another program polls this bot token")
	if !strings.Contains(r.logs.String(), "level=ERROR") {
		t.Error("no alarm in the log")
	}
	r.ask("t1", `{}`)
	callback := r.api.Press(r.card("t1"), admin, "✅ Approve")
	r.api.Fail("getUpdates", 0, botapi.Failure{})
	r.toast(callback)
	r.health("")
	r.state("t1", task.Approved)
}

// Two relays with one token take the polls from each other; neither gives up,
// and a press counts once for the one that gets it.
func TestSecondPoller(t *testing.T) {
	r := start(t)
	r.health("")
	other := New(Options{Desk: r.desk, Token: token, APIURL: r.api.URL(), AdminChat: admin, knobs: quick()})
	done := make(chan struct{})
	go func() { defer close(done); other.Run(r.ctx) }()
	r.eventually("a conflict", func() bool {
		return strings.Contains(r.bot.Health().Problem+other.Health().Problem, "409")
	})
	r.ask("t1", `{}`)
	r.toast(r.api.Press(r.card("t1"), admin, "✅ Approve"))
	r.state("t1", task.Approved)
	r.cancel()
	r.stop()
	t.Cleanup(func() { <-done })
}

func TestWebhookIsRemoved(t *testing.T) {
	r := start(t, func(r *rig) { r.api.SetWebhook("https://elsewhere.example") })
	r.health("")
	if r.api.Calls()["deleteWebhook"] == 0 {
		t.Error("deleteWebhook was not called")
	}
}

func TestRetryAfterFreezesEverything(t *testing.T) {
	t.Parallel()
	slow := func(r *rig) { r.opt.knobs.second = 100 * time.Millisecond }
	tooMany := botapi.Failure{Code: 429, Description: "Too Many Requests: retry after 3", RetryAfter: 3}
	for _, tt := range []struct {
		method string
		act    func(*rig)
		done   func(*rig)
	}{
		{"sendMessage", func(r *rig) { r.ask("t1", `{}`) }, func(r *rig) { r.card("t1") }},
		{"sendDocument", func(r *rig) { r.ask("t1", `{"body":"`+long+`"}`) }, func(r *rig) {
			r.card("t1")
			if all := r.api.Messages(admin); all[len(all)-2].Document == nil {
				r.Errorf("no file before the card:\n%s", r.texts(admin))
			}
		}},
		{"editMessageText", func(r *rig) {
			r.ask("t1", `{}`)
			r.toast(r.api.Press(r.card("t1"), admin, "❌ Deny"))
		}, func(r *rig) { r.message(admin, "❌ Denied") }},
	} {
		t.Run(tt.method, func(t *testing.T) {
			r := start(t, slow)
			r.health("")
			r.ready()
			r.api.Fail(tt.method, 1, tooMany)
			tt.act(r)
			r.health("slow down (429)")
			began, calls := time.Now(), sends(r)
			r.ask("t2", `{}`)
			r.api.Send(admin, admin, "/whoami")
			r.settled()
			if n := sends(r); n != calls && time.Since(began) < 200*time.Millisecond {
				t.Errorf("%d calls in the frozen time", n-calls)
			}
			tt.done(r)
			if d := time.Since(began); d < 200*time.Millisecond {
				t.Errorf("waited %v", d)
			}
			r.card("t2")
			r.message(admin, "chat_id")
			r.health("")
		})
	}
}

// ready makes sure that the bot's first messages are through.
func (r *rig) ready() {
	r.Helper()
	r.eventually("commands registered", func() bool { return len(r.api.Commands()) > 0 })
}

func sends(r *rig) int {
	c := r.api.Calls()
	return c["sendMessage"] + c["sendDocument"] + c["editMessageText"]
}

func TestOutages(t *testing.T) {
	t.Parallel()
	kinds := map[string]botapi.Failure{
		"500":     {Status: 500, Description: "Internal Server Error"},
		"HTML":    {Status: 502, HTML: true},
		"HTML200": {Status: 200, HTML: true},
		"cut":     {Cut: true},
		"dropped": {Drop: true},
		"late":    {Cut: true, Late: true},
		"hanging": {Hang: true},
	}
	for name, f := range kinds {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := start(t, func(r *rig) {
				r.opt.knobs.call, r.opt.knobs.upload, r.opt.knobs.slack = 200*time.Millisecond, 200*time.Millisecond, 200*time.Millisecond
				for _, method := range []string{"getMe", "getUpdates", "sendMessage", "sendDocument", "editMessageText", "setMyCommands"} {
					r.api.Fail(method, 2, f)
				}
				r.ask("t1", `{"body":"`+long+`"}`)
			})
			m := r.card("t1")
			r.health("")
			r.api.Fail("answerCallbackQuery", 1, f)
			r.api.Press(m, admin, "✅ Approve")
			r.message(admin, "ID: t1", "✅ Approved by Ana")
			r.state("t1", task.Approved)
			r.toast(r.api.Press(m, admin, "✅ Approve"))
			for method, n := range r.api.Calls() {
				if n > 30 {
					t.Errorf("%d calls of %s: a tight loop", n, method)
				}
			}
		})
	}
}

func TestBlockedChat(t *testing.T) {
	r := start(t, func(r *rig) { r.api.Block(admin, true) })
	r.ask("t1", `{}`)
	r.health("does not take the bot's messages")
	r.api.Block(admin, false)
	r.card("t1")
	r.health("")
}

// Whoever unblocks the bot and writes to it need not wait.
func TestBlockedChatReturns(t *testing.T) {
	r := start(t, func(r *rig) {
		r.api.Block(admin, true)
		r.opt.knobs.slow = time.Hour
	})
	r.ask("t1", `{}`)
	r.health("does not take the bot's messages")
	r.api.Block(admin, false)
	r.api.Send(admin, admin, "/start")
	r.card("t1")
}

func TestUnknownChat(t *testing.T) {
	r := start(t, func(r *rig) { r.opt.AdminChat = 4242 })
	r.ask("t1", `{}`)
	r.health("correct admin_chat_id")
	if n := r.api.Calls()["sendMessage"]; n > 20 {
		t.Errorf("%d tries", n)
	}
}

func TestRefusedCardBecomesPlain(t *testing.T) {
	r := start(t)
	r.health("")
	r.ready()
	r.api.Fail("sendMessage", 1, botapi.Failure{Code: 400, Description: "Bad Request: can't parse entities: whatever"})
	r.ask("t1", `{"a":1}`)
	m := r.card("t1")
	if !strings.Contains(m.Text, "Telegram refused the full card") || !strings.HasPrefix(m.Text, "🔔 Approval Required\n\nTool: github/create_issue\nCode: 7K3F") {
		t.Errorf("card:\n%s", m.Text)
	}
	r.api.Fail("editMessageText", 1, botapi.Failure{Code: 400, Description: "Bad Request: can't parse entities: whatever"})
	r.toast(r.api.Press(m, admin, "✅ Approve"))
	r.message(admin, "ID: t1", "Telegram refused the full card", "✅ Approved by Ana (telegram:1001)")
}

func TestRefusedForAWhile(t *testing.T) {
	t.Parallel()
	r := start(t)
	r.health("")
	r.ready()
	r.api.Fail("sendMessage", 6, botapi.Failure{Code: 400, Description: "Bad Request: whatever"})
	r.ask("t1", `{}`)
	r.card("t1")
}

func TestFileThatCannotBeSent(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]botapi.Failure{
		"refused":   {Code: 400, Description: "Bad Request: not enough rights to send documents to the chat"},
		"too large": {Status: 413, HTML: true},
		"broken":    {Status: 500},
	} {
		t.Run(name, func(t *testing.T) {
			r := start(t, func(r *rig) {
				r.api.Fail("sendDocument", -1, f)
				r.ask("t1", `{"body":"`+long+`"}`)
			})
			m := r.card("t1")
			if !strings.Contains(m.Text, "bytes are not shown, and the file with all of them could not be sent") {
				t.Errorf("card:\n%s", m.Text)
			}
			if n := r.api.Calls()["sendDocument"]; n > maxUploads {
				t.Errorf("%d tries", n)
			}
		})
	}
}

func TestPanicIsSurvived(t *testing.T) {
	r := start(t, func(r *rig) {
		bad := r.api.Send(admin, admin, "/help")
		r.opt.knobs.handling = func(update int) {
			if update == bad {
				panic("boom with " + token)
			}
		}
	})
	r.api.Send(admin, admin, "/whoami")
	r.message(admin, "chat_id")
	r.settled()
	if !strings.Contains(r.logs.String(), "dropped after a panic") {
		t.Error("not logged")
	}
}

func TestOddUpdates(t *testing.T) {
	r := start(t)
	r.api.Push("message", map[string]any{"message_id": "not a number", "chat": []int{1}})
	r.api.Push("message", map[string]any{"message_id": 5, "date": 1})
	r.api.Push("message", map[string]any{"message_id": 5, "date": 1, "chat": map[string]any{"id": admin, "type": "private"}, "text": "/status"})
	r.api.Push("callback_query", map[string]any{"id": "x"})
	r.api.Push("callback_query", map[string]any{"id": "y", "from": map[string]any{"id": admin}, "message": map[string]any{"message_id": 3}, "data": "aX"})
	r.settled()
	r.api.Send(admin, admin, "/whoami")
	r.message(admin, "chat_id")
}

func TestRunEndsAtOnce(t *testing.T) {
	r := start(t)
	r.health("")
	began := time.Now()
	r.stop()
	if d := time.Since(began); d > 2*time.Second {
		t.Errorf("took %v in the middle of a long poll", d)
	}
	r = start(t, func(r *rig) {
		r.opt.knobs.grace = 20 * time.Millisecond
		r.opt.knobs.call = time.Hour
		r.api.Fail("*", -1, botapi.Failure{Hang: true})
		r.ask("t1", `{}`)
	})
	r.eventually("calls hang", func() bool { c := r.api.Calls(); return c["getMe"] > 0 && c["sendMessage"] > 0 })
	began = time.Now()
	r.stop()
	if d := time.Since(began); d > 2*time.Second {
		t.Errorf("took %v with hanging calls", d)
	}
}

// A card that is under way when the program ends is noted, not sent twice.
func TestEndInTheMiddleOfASend(t *testing.T) {
	entered, proceed := make(chan struct{}), make(chan struct{})
	var real string
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if strings.HasSuffix(req.URL.Path, "/sendMessage") {
			close(entered)
			<-proceed
		}
		out, _ := http.NewRequestWithContext(req.Context(), "POST", real+req.URL.Path, req.Body)
		out.Header = req.Header
		resp, err := http.DefaultClient.Do(out)
		if err != nil {
			return
		}
		defer resp.Body.Close()
		w.WriteHeader(resp.StatusCode)
		io.Copy(w, resp.Body)
	}))
	defer proxy.Close()
	r := start(t, func(r *rig) {
		real, r.opt.APIURL = r.api.URL(), proxy.URL
		r.ask("t1", `{}`)
	})
	<-entered
	r.cancel()
	close(proceed)
	r.stop()
	unsent, err := r.desk.CardsToSend(r.ctx, admin, 1)
	if err != nil || len(unsent) != 0 || len(r.api.Messages(admin)) != 1 {
		t.Errorf("unsent %v (%v); %s", unsent, err, r.texts(admin))
	}
}
