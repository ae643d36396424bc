package e2e

import (
	"encoding/base64"
	"encoding/json"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"portero/shared/porterotest/botapi"
	"portero/shared/porterotest/rig"
)

// What must never be written anywhere: real values, and the programs' own
// secrets.
var planted = []string{"María Cárdenas", "maria.cardenas@bank.example", "sk_live_51Hq7vQ2eZvKYlo2C", rig.BotToken, "7Q2M-K4XD"}

// found returns the forms of a secret that are in text: as it is, escaped,
// encoded.
func found(text, secret string) (forms []string) {
	ascii := strings.Trim(strconv.QuoteToASCII(secret), `"`)
	quoted, _ := json.Marshal(secret)
	all := []string{secret, strings.ToUpper(secret), ascii, strings.Trim(string(quoted), `"`), url.QueryEscape(secret), url.PathEscape(secret)}
	for shift := range 3 {
		// In each of the alignments, what does not depend on the neighbours.
		encoded := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("x", shift) + secret))
		all = append(all, encoded[4*((shift+2)/3):4*((shift+len(secret))/3)])
	}
	for _, form := range all {
		if strings.Contains(text, form) && !slices.Contains(forms, form) {
			forms = append(forms, form)
		}
	}
	return forms
}

func TestFoundFindsSecrets(t *testing.T) {
	t.Parallel()
	for _, secret := range planted {
		quoted, _ := json.Marshal(secret)
		for _, text := range []string{"a" + secret + "b", strconv.QuoteToASCII(secret), string(quoted), "?q=" + url.QueryEscape(secret),
			base64.StdEncoding.EncodeToString([]byte(secret + "!")), base64.StdEncoding.EncodeToString([]byte(">>" + secret + "<"))} {
			if found(text, secret) == nil {
				t.Errorf("%q is not found in %q", secret, text)
			}
		}
		if found("Jane Roe", secret) != nil {
			t.Errorf("%q is found in nothing", secret)
		}
	}
}

// A long run with everything that writes something: no file of the programs'
// directory, no line of a log, no message to the client, to a person or to a
// page holds a real value or a secret of the programs.
func TestTelegramNothingLeaks(t *testing.T) {
	more := "pairing_code = \"7Q2M-K4XD\"\n" + rig.Private
	c := newChat(t, more,
		`"kit/echo" = "allow"`, "\"kit/echo\" = \"allow\"\n\"kit/stderr\" = \"allow\"\n\"kit/log\" = \"allow\"\n\"kit/raw\" = \"allow\"",
		`"kit/fail" = "deny"`, `"kit/fail" = "require-approval"`,
		"[relay]", "[[replacement]]\nfake = \"john@example.com\"\nreal = \"${REAL_EMAIL}\"\n\n"+
			"[[replacement]]\nfake = \"API-KEY-PLACEHOLDER\"\nreal = \"${REAL_KEY}\"\nbidirectional = false\n\n[relay]")
	c.Env = append(c.Env, "REAL_EMAIL="+planted[1], "REAL_KEY="+planted[2])
	c.TG.AddUser(stranger, "Mallory")
	c.up()
	link := c.token()
	const who = "John Doe, john@example.com, API-KEY-PLACEHOLDER"
	text, _ := json.Marshal(who)
	quoted := string(text)
	var pages strings.Builder
	var proxies []*rig.Proxy
	var relays []*rig.Relay

	run := func(tool, args string) { // allowed
		if m := c.P.Call(tool, args); m.Result == nil && m.Error == nil {
			t.Fatalf("%s: %s", tool, m.Raw)
		}
	}
	run("kit/echo", `{"to":`+quoted+`,`+quoted+`:{"nested":[`+quoted+`]}}`)
	run("kit/stderr", `{"lines":[`+quoted+`]}`)
	run("kit/log", `{"data":`+quoted+`}`)
	run("kit/raw", `{"lines":["{\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\",\"params\":{\"data\":\"John Doe\"}}","junk from John Doe"]}`)
	run("kit/John Doe", `{}`)
	run("kit/echo", `{"to":"`+planted[0]+`"}`) // the client itself writes a real value

	decide := func(tool, args, button, status string) rig.Task {
		t.Helper()
		task := c.P.Ask(tool, args)
		card := c.TG.Card(rig.Admin, task.ID)
		pages.WriteString(c.R.Page())
		c.TG.Tap(card, rig.Admin, button)
		c.P.Await(task.ID, status)
		pages.WriteString(c.R.Await(task.ID, status))
		return task
	}
	decide("kit/append", c.Out.Args(who), "Approve", "completed")
	decide("kit/append", c.Out.Args("never "+who), "Deny", "denied")
	decide("kit/append", c.Out.Args(planted[0]+" in clear"), "Approve", "completed")
	decide("kit/append", c.Out.Args("long "+strings.Repeat(who+". ", 400)), "Approve", "completed") // with a file
	decide("kit/toolerror", `{"message":`+quoted+`}`, "Approve", "completed")
	decide("kit/fail", `{"message":`+quoted+`,"data":{"who":`+quoted+`}}`, "Approve", "error")
	decide("kit/crash", `{"code":1,"message":`+quoted+`}`, "Approve", "unknown")
	c.TG.Send(stranger, stranger, "/pair 7Q2M-K4XE")
	for _, text := range []string{"/status", "/tasks", "/pending", "/whoami", "/help"} {
		c.TG.Say(rig.Admin, text)
	}
	c.TG.Fail("*", 4, botapi.Failure{Drop: true})
	relays, proxies = append(relays, c.R), append(proxies, c.P)
	waits := c.P.Ask("kit/append", c.Out.Args("waits for "+who))
	c.P.Kill()
	c.R.Kill()
	c.Eventually("both are gone", func() bool { return !rig.Running(c.P.PID()) && !rig.Running(c.R.PID()) })
	c.up()
	c.R.Press(waits.ID, "approve")
	c.P.Await(waits.ID, "completed")
	relays, proxies = append(relays, c.R), append(proxies, c.P)
	c.P.CloseStdin()
	c.P.Wait()

	check := func(where, text string) {
		t.Helper()
		if len(text) == 0 {
			t.Errorf("nothing to look at: %s", where)
		}
		for _, secret := range append(planted, link) {
			for _, form := range found(text, secret) {
				t.Errorf("%s holds %q", where, form)
			}
		}
	}
	for i := range relays {
		check("stderr of portero-relay", relays[i].Stderr())
		check("stderr of portero-stdio", proxies[i].Stderr())
		check("stdout of portero-stdio", strings.Join(proxies[i].Output(), "\n"))
	}
	check("the page", pages.String())
	check("Telegram", c.TG.Log(rig.Admin)+c.TG.Log(stranger))
	files := 0
	err := filepath.WalkDir(c.Dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || path == c.Config() {
			return err
		}
		text, err := os.ReadFile(path)
		if info, ierr := e.Info(); ierr == nil && info.Mode().Perm() != 0o600 {
			t.Errorf("%s can be read by others: %v", path, info.Mode())
		}
		if len(text) > 0 {
			files++
			check(path, string(text))
		}
		return err
	})
	if err != nil || files < 3 {
		t.Errorf("%d files looked at, %v", files, err)
	}
	if !strings.Contains(strings.Join(c.Out.Lines(), "\n"), planted[2]) {
		t.Errorf("the server did not get the real values: %q", c.Out.Lines())
	}
}
