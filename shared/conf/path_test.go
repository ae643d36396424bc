package conf

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestPath(t *testing.T) {
	for _, tc := range []struct {
		flag string
		env  []string
		want string
	}{
		{"x.toml", []string{"PORTERO_CONFIG=/env.toml"}, "x.toml"},
		{"~/x.toml", nil, "/home/ada/x.toml"},
		{"", []string{"PORTERO_CONFIG=/env.toml", "XDG_CONFIG_HOME=/xdg"}, "/env.toml"},
		{"", []string{"PORTERO_CONFIG=~/env.toml"}, "/home/ada/env.toml"},
		{"", []string{"PORTERO_CONFIG=", "XDG_CONFIG_HOME=/xdg"}, "/xdg/portero/portero.toml"},
		{"", []string{"XDG_CONFIG_HOME="}, "/home/ada/.config/portero/portero.toml"},
		{"", []string{"XDG_CONFIG_HOME=."}, "/home/ada/.config/portero/portero.toml"},
		{"", []string{"HOME=.", "USERPROFILE=/users/ada"}, "/users/ada/.config/portero/portero.toml"},
		{"", []string{"HOME=."}, "find configuration: the home directory is not known; set HOME, or name a file with --config"},
	} {
		got, err := Path(tc.flag, getenv(vars(tc.env...)))
		if err != nil {
			got = err.Error()
		}
		if got != tc.want {
			t.Errorf("%q %v: got %s, want %s", tc.flag, tc.env, got, tc.want)
		}
	}
}

// A file in the working directory is never found by itself.
func TestPathIgnoresWorkingDirectory(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "portero.toml"), "")
	write(t, filepath.Join(dir, "portero", "portero.toml"), "")
	t.Chdir(dir)
	for _, env := range [][]string{nil, {"XDG_CONFIG_HOME="}, {"XDG_CONFIG_HOME=."}, {"HOME="}, {"HOME=."}} {
		got, err := Path("", getenv(vars(env...)))
		if err == nil && (!filepath.IsAbs(got) || strings.HasPrefix(got, dir)) {
			t.Errorf("%v: %s", env, got)
		}
	}
}

func TestPrivateDir(t *testing.T) {
	base := t.TempDir()
	fresh := filepath.Join(base, "a", "b")
	if err := PrivateDir(fresh); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{fresh, filepath.Dir(fresh)} {
		if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("%s: %v, %v", dir, info.Mode(), err)
		}
	}
	if left, _ := os.ReadDir(fresh); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
	if err := PrivateDir(fresh); err != nil {
		t.Errorf("again: %v", err)
	}

	file := filepath.Join(base, "file")
	write(t, file, "")
	open := filepath.Join(base, "open")
	for _, err := range []error{os.Mkdir(open, 0o700), os.Chmod(open, 0o777)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for dir, want := range map[string]string{
		file:                      "use directory " + file + ": not a directory",
		filepath.Join(file, "in"): "use directory " + filepath.Join(file, "in") + ": not a directory",
		open:                      "use directory " + open + ": everybody on this machine can write to it",
	} {
		err := PrivateDir(dir)
		var de *DirError
		if !errors.As(err, &de) || err.Error() != want || de.Hint() == "" {
			t.Errorf("%s: got %v, want %s with a hint", dir, err, want)
		}
	}
}

func TestPrivateDirReadOnly(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o500); err != nil {
		t.Fatal(err)
	}
	if f, err := os.CreateTemp(dir, ""); err == nil {
		_ = f.Close()
		t.Skip("modes do not bind this user")
	}
	err := PrivateDir(dir)
	var de *DirError
	if !errors.As(err, &de) || !errors.Is(err, os.ErrPermission) || !strings.Contains(de.Hint(), "chmod u+rwx") {
		t.Errorf("got %v", err)
	}
	if err := PrivateDir(filepath.Join(dir, "in")); !errors.Is(err, os.ErrPermission) {
		t.Errorf("below: got %v", err)
	}
}

func TestParseDuration(t *testing.T) {
	for s, want := range map[string]time.Duration{
		"0": 0, "0s": 0, "90s": 90 * time.Second, "30m": 30 * time.Minute, "24h": 24 * time.Hour, "1d": 24 * time.Hour,
		"2h30m": 150 * time.Minute, "1d12h5m1s2ms": 36*time.Hour + 5*time.Minute + time.Second + 2*time.Millisecond,
		"250ms": 250 * time.Millisecond, "106751d": 106751 * 24 * time.Hour,
	} {
		if got, err := ParseDuration(s); got != want || err != nil {
			t.Errorf("%q: got %v, %v, want %v", s, got, err, want)
		}
	}
	for _, s := range []string{
		"", " ", "1", "10", "h", "-1h", "+1h", "1.5h", "1 h", "1h ", "30m2h", "1h1h", "1x", "1dh", "1hm", "1w", "1M", "00",
		"106752d", "9999999999999999h", "999999999999999h", "106751d24h", "١h",
	} {
		if d, err := ParseDuration(s); err == nil {
			t.Errorf("%q: got %v, want an error", s, d)
		}
	}
}
