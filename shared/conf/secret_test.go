package conf

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

func TestSecretIsNotShown(t *testing.T) {
	s := Secret("S3cret")
	v := struct {
		A Secret
		P *Secret
		M map[string]Secret
		L []Secret
	}{s, &s, map[string]Secret{"k": s}, []Secret{s}}
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%08.3f", "%!"} {
		fmt.Fprintf(&out, verb+"|", s)
		fmt.Fprintf(&out, verb+"|", v)
	}
	for _, log := range []*slog.Logger{slog.New(slog.NewTextHandler(&out, nil)), slog.New(slog.NewJSONHandler(&out, nil))} {
		log.Info("x", "s", s, "v", v, "err", fmt.Errorf("%w: %s", errors.New("e"), s))
	}
	enc, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	out.Write(enc)
	fmt.Fprintln(&out, s, v)
	for _, leak := range []string{"S3cret", fmt.Sprintf("%x", "S3cret"), fmt.Sprintf("%X", "S3cret"), "83 51"} {
		if strings.Contains(out.String(), leak) {
			t.Errorf("shown as %q in\n%s", leak, out.String())
		}
	}
	if s.Reveal() != "S3cret" || fmt.Sprint(s) != "[redacted]" || fmt.Sprint(Secret("")) != "" || fmt.Sprintf("%q", s) != `"[redacted]"` {
		t.Errorf("%q %v %q", s.Reveal(), s, s)
	}
}

// What a file and its environment hold in places for secrets is in no message
// and in no print of the configuration, whatever else is wrong.
func TestMessagesHoldNoSecret(t *testing.T) {
	secret := "S3cret"
	dir := t.TempDir()
	write(t, dir+"/key", secret)
	env := getenv(vars("V=" + secret))
	for _, value := range []string{`"S3cret"`, `"${V}"`, `"${file:key}"`, `'S3cret ${NO}'`, `S3cret`, `["S3cret"]`, `"\u0000S3cret"`, `"${S3 ${V}"`} {
		for _, src := range []string{
			"[[replacement]]\nfake=\"f\"\nreal=" + value + "\n[[replacement]]\nfake=" + value + "\nreal=\"x\"\n[[replacement]]\nfake=\"g\"\nreal=" + value,
			"[[replacement]]\nfake=" + value + "\nreal=" + value + "\nbidirectional=false\nresponse_replacement=" + value,
			"[link]\nurl=" + value + "\ntoken=" + value,
			"[link]\nurl=\"wss://x\"\ntoken=" + value,
			"[[mcp]]\nname=\"a\"\ncommand=\"x\"\nenv={A=" + value + "}\nurl=" + value,
			"[telegram]\nbot_token=" + value + "\npairing_code=" + value + "\nadmin_chat_id=" + value + "\napi_url=" + value,
			"[relay]\nbearer_token=" + value + "\nlisten=" + value,
		} {
			for _, side := range []Side{ProxySide, RelaySide} {
				c, err := load("p.toml", dir+"/p.toml", src, env, side)
				got := fmt.Sprint(err)
				if c != nil {
					for i := range c.Replacements {
						c.Replacements[i].Fake = "" // is for show
					}
					got += fmt.Sprintf("%+v %#v", c, c) + warnings(c)
					if c.Link != nil {
						got += fmt.Sprintf("%+v", c.Link)
					}
				}
				var ps Problems
				if errors.As(err, &ps) {
					for _, p := range ps {
						got += p.Hint
					}
				}
				if strings.Contains(got, secret) {
					t.Errorf("shown for\n%s\n%s", src, got)
				}
			}
		}
	}
}
