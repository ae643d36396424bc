package desk

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"portero/shared/db"
)

func token(t *testing.T, d *Desk, name, role string, expires time.Time) string {
	t.Helper()
	s, err := d.CreateToken(ctx, name, role, []string{"kit/*"}, expires)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestTokens(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	d, cli := open(t, dir), open(t, dir) // the server, and the command line beside it
	s := token(t, cli, "laptop", "machine", time.Time{})
	if !strings.HasPrefix(s, "prt_") || len(s) < 40 {
		t.Errorf("a secret of %d letters", len(s))
	}
	got, err := d.CheckToken(ctx, s)
	if err != nil || got.Name != "laptop" || got.Role != "machine" || len(got.Tools) != 1 || got.Tools[0] != "kit/*" || !got.Expires.IsZero() || got.Created.IsZero() {
		t.Errorf("%+v, %v", got, err)
	}
	for name, wrong := range map[string]string{"nothing": "", "something else": "prt_x", "one letter less": s[:len(s)-1], "one letter more": s + "x",
		"other case": strings.ToUpper(s), "its name": "laptop"} {
		if got, err := d.CheckToken(ctx, wrong); !errors.Is(err, ErrBadToken) || got.Name != "" {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	if again, err := d.CreateToken(ctx, "laptop", "teammate", nil, time.Time{}); !errors.Is(err, ErrTokenExists) || again != "" {
		t.Errorf("a second one of that name: %q, %v", again, err)
	}
	if got, err := d.CheckToken(ctx, s); err != nil || got.Role != "machine" {
		t.Errorf("the first one after that: %+v, %v", got, err)
	}
	if err := cli.RevokeToken(ctx, "laptop"); err != nil {
		t.Fatal(err)
	}
	if got, err := d.CheckToken(ctx, s); !errors.Is(err, ErrBadToken) {
		t.Errorf("revoked: %+v, %v", got, err)
	}
	for _, name := range []string{"laptop", "nobody"} {
		if err := cli.RevokeToken(ctx, name); !errors.Is(err, ErrNoToken) {
			t.Errorf("revoke %s: %v", name, err)
		}
	}
	// The name is free again; the old secret stays dead.
	s2 := token(t, cli, "laptop", "teammate", time.Time{})
	if got, err := d.CheckToken(ctx, s2); err != nil || got.Role != "teammate" {
		t.Errorf("a new one of that name: %+v, %v", got, err)
	}
	if _, err := d.CheckToken(ctx, s); !errors.Is(err, ErrBadToken) {
		t.Errorf("the revoked one after that: %v", err)
	}
	var notes []string
	for _, e := range record(t, d, "") {
		notes = append(notes, e.Event+" "+e.Note)
		if strings.Contains(e.Note, s) {
			t.Error("the audit log holds a secret")
		}
	}
	if got := strings.Join(notes, ", "); got != "token-created machine laptop, token-revoked laptop, token-created teammate laptop" {
		t.Errorf("audited %s", got)
	}
}

func TestTokenExpiry(t *testing.T) {
	t.Parallel()
	d := open(t, t.TempDir())
	past := token(t, d, "past", "machine", time.Now().Add(-time.Second))
	future := token(t, d, "future", "machine", time.Now().Add(time.Hour))
	if _, err := d.CheckToken(ctx, past); !errors.Is(err, ErrBadToken) {
		t.Errorf("expired: %v", err)
	}
	if got, err := d.CheckToken(ctx, future); err != nil || got.Expires.IsZero() {
		t.Errorf("not yet expired: %+v, %v", got, err)
	}
	all, err := d.Tokens(ctx)
	if err != nil || len(all) != 2 || all[0].Name != "future" || all[1].Name != "past" || all[0].Used.IsZero() || !all[1].Used.IsZero() {
		t.Errorf("tokens %+v, %v", all, err)
	}
	if _, err := d.CreateToken(ctx, "past", "machine", nil, time.Time{}); !errors.Is(err, ErrTokenExists) {
		t.Errorf("an expired one still has its name: %v", err)
	}
}

// TestNoSecretOnDisk looks for what was handed out in every file of the store.
func TestNoSecretOnDisk(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	d := open(t, dir)
	secrets := []string{token(t, d, "a", "machine", time.Time{})}
	signin, err := d.NewSignin(ctx, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	other, err := d.NewSignin(ctx, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	session, err := d.Signin(ctx, signin, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	secrets = append(secrets, signin, other, session)
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(files) < 2 {
		t.Fatalf("%v, %v", files, err)
	}
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for i, s := range secrets {
			if strings.Contains(string(data), strings.TrimPrefix(s, "prt_")) {
				t.Errorf("secret %d is in %s", i, filepath.Base(f))
			}
		}
	}
}

func TestSigninWorksOnce(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	d, other := open(t, dir), open(t, dir)
	link, err := d.NewSignin(ctx, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	var in atomic.Int32
	sessions := make(chan string, 20)
	for i := range 20 {
		wg.Go(func() {
			switch s, err := []*Desk{d, other}[i%2].Signin(ctx, link, time.Hour); {
			case err == nil:
				in.Add(1)
				sessions <- s
			case !errors.Is(err, ErrSignin) || s != "":
				t.Errorf("%q, %v", s, err)
			}
		})
	}
	wg.Wait()
	if in.Load() != 1 {
		t.Fatalf("%d signed in with one link", in.Load())
	}
	s := <-sessions
	csrf, ok, err := other.Session(ctx, s)
	if err != nil || !ok || len(csrf) < 40 || csrf == s {
		t.Errorf("session: %v, %v", ok, err)
	}
	if again, ok, err := d.Session(ctx, s); again != csrf || !ok || err != nil {
		t.Error("the session has another CSRF token the second time")
	}
	for name, wrong := range map[string]string{"nothing": "", "the link": link, "the CSRF token": csrf, "something else": "x"} {
		if got, ok, err := d.Session(ctx, wrong); ok || got != "" || err != nil {
			t.Errorf("%s as a session: %v, %v", name, ok, err)
		}
	}
	if err := d.Signout(ctx, s); err != nil {
		t.Fatal(err)
	}
	if _, ok, err := other.Session(ctx, s); ok || err != nil {
		t.Errorf("signed out, and still in: %v, %v", ok, err)
	}
	if all := record(t, d, ""); len(all) != 1 || all[0].Event != "signed-in" {
		t.Errorf("audited %+v", all)
	}
}

func TestSigninAndSessionsExpire(t *testing.T) {
	t.Parallel()
	d := open(t, t.TempDir())
	old, err := d.NewSignin(ctx, -time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if s, err := d.Signin(ctx, old, time.Hour); !errors.Is(err, ErrSignin) || s != "" {
		t.Errorf("an old link: %q, %v", s, err)
	}
	if s, err := d.Signin(ctx, "", time.Hour); !errors.Is(err, ErrSignin) || s != "" {
		t.Errorf("no link: %q, %v", s, err)
	}
	for range 2 { // what is over is also cleared away
		link, err := d.NewSignin(ctx, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		s, err := d.Signin(ctx, link, -time.Second)
		if err != nil {
			t.Fatal(err)
		}
		if _, ok, err := d.Session(ctx, s); ok || err != nil {
			t.Errorf("a session that is over: %v, %v", ok, err)
		}
	}
	for table, want := range map[string]int{"sessions": 1, "signins": 0} {
		var n int
		if err := d.db.Read(ctx, func(tx *db.Tx) error { return tx.QueryRow("SELECT COUNT(*) FROM " + table).Scan(&n) }); err != nil || n != want {
			t.Errorf("%d %s are kept, %v", n, table, err)
		}
	}
}

func TestPairingOnce(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	d, other := open(t, dir), open(t, dir)
	if a, ok, err := d.Paired(ctx); ok || err != nil || a != (Admin{}) {
		t.Errorf("a new store is paired with %+v, %v", a, err)
	}
	var wg sync.WaitGroup
	var first atomic.Value
	var n atomic.Int32
	for i := range 20 {
		wg.Go(func() {
			a := Admin{Chat: int64(-100 - i), User: int64(1 + i)}
			ok, err := []*Desk{d, other}[i%2].Pair(ctx, i, a)
			if err != nil {
				t.Error(err)
			}
			if ok {
				n.Add(1)
				first.Store(a)
			}
		})
	}
	wg.Wait()
	if a, ok, err := other.Paired(ctx); n.Load() != 1 || !ok || err != nil || a != first.Load() {
		t.Errorf("%d paired; the admin is %+v, %v", n.Load(), a, err)
	}
	for i := range 20 { // also the updates of those who came too late
		if done, err := d.Handled(ctx, i); !done || err != nil {
			t.Errorf("update %d: %v, %v", i, done, err)
		}
	}
	if all := record(t, d, ""); len(all) != 1 || all[0].Event != "pair" || all[0].By != fmt.Sprintf("telegram:%d", first.Load().(Admin).User) {
		t.Errorf("audited %+v", all)
	}
}

func TestAlert(t *testing.T) {
	t.Parallel()
	d := open(t, t.TempDir())
	if err := d.Alert(ctx, "press-refused", "telegram:666", "chat 5"); err != nil {
		t.Fatal(err)
	}
	if all := record(t, d, ""); len(all) != 1 || all[0].Event != "press-refused" || all[0].By != "telegram:666" || all[0].Note != "chat 5" {
		t.Errorf("audited %+v", all)
	}
}

func TestMachines(t *testing.T) {
	t.Parallel()
	d := open(t, t.TempDir())
	for _, name := range []string{"laptop", "desktop", "laptop"} {
		if err := d.SawMachine(ctx, name, name+"'s label", "v1"); err != nil {
			t.Fatal(err)
		}
	}
	d.Connected("laptop", +1)
	d.Connected("laptop", +1)
	d.Connected("desktop", +1)
	d.Connected("desktop", -1)
	all, err := d.Machines(ctx)
	if err != nil || len(all) != 2 || all[0].Name != "desktop" || all[0].Procs != 0 || all[1].Procs != 2 || all[1].Label != "laptop's label" || all[1].App != "v1" ||
		time.Since(all[1].Seen) > time.Minute {
		t.Errorf("%+v, %v", all, err)
	}
}

func TestReopen(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	d := open(t, dir)
	epoch, _, err := d.Head(ctx)
	if err != nil {
		t.Fatal(err)
	}
	pending(t, d, "t1")
	d.Close()
	d = open(t, dir)
	if again, rev, err := d.Head(ctx); again != epoch || rev != 1 || err != nil {
		t.Errorf("%q at %d, %v; was %q", again, rev, err, epoch)
	}
	if fresh, _, err := open(t, t.TempDir()).Head(ctx); fresh == epoch || err != nil {
		t.Error("two stores have one epoch")
	}
	if _, err := Open(ctx, filepath.Join(dir, "missing")); err == nil || !strings.Contains(err.Error(), "missing") {
		t.Errorf("opened in a directory that is not there: %v", err)
	}
}

// TestNoRecordNoDecision: a full disk stops the decision, not only its record.
func TestNoRecordNoDecision(t *testing.T) {
	t.Parallel()
	d := open(t, t.TempDir())
	pending(t, d, "t1")
	write := func(query string) error {
		return d.db.Write(ctx, func(tx *db.Tx) error { _, err := tx.Exec(query); return err })
	}
	if err := write("PRAGMA max_page_count = 1"); err != nil { // no less than it has
		t.Fatal(err)
	}
	var err error
	for err == nil {
		err = write("INSERT INTO audit(line, hash) VALUES('x', x'')")
	}
	v, err := d.Press(ctx, "t1", true, "Ana")
	if err == nil || v.Changed || !strings.Contains(err.Error(), "full") || !strings.Contains(err.Error(), "relay.db") {
		t.Errorf("press on a full disk: %+v, %v", v, err)
	}
	if got := is(t, d, "t1", "pending"); got.By != "" {
		t.Errorf("decided by %q", got.By)
	}
}
