package db

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestMain lets the test binary be another process: DB_TEST_ACT says what it
// does to the file DB_TEST_FILE.
func TestMain(m *testing.M) {
	if act := os.Getenv("DB_TEST_ACT"); act != "" {
		if err := acts[act](os.Getenv("DB_TEST_FILE")); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// another returns a command that runs an act on a file in a process of its own.
func another(t *testing.T, act, file string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe")
	if _, err := os.Stat(cmd.Path); err != nil {
		if cmd.Path, err = os.Executable(); err != nil {
			t.Fatal(err)
		}
	}
	cmd.Env = append(os.Environ(), "DB_TEST_ACT="+act, "DB_TEST_FILE="+file)
	return cmd
}

var acts = map[string]func(file string) error{
	"migrate": func(file string) error {
		// Wait for the word: several start at once.
		if _, err := bufio.NewReader(os.Stdin).ReadString('\n'); err != nil {
			return err
		}
		d, err := Open(ctx, file, steps)
		if err != nil {
			return err
		}
		return d.Close()
	},
	// Commits, says so, starts another transaction and waits to be killed.
	"commit": func(file string) error {
		d, err := Open(ctx, file, steps)
		if err != nil {
			return err
		}
		if err := d.Write(ctx, func(tx *Tx) error { return tx.One("INSERT INTO ran VALUES('committed')") }); err != nil {
			return err
		}
		return d.Write(ctx, func(tx *Tx) error {
			if err := tx.One("INSERT INTO ran VALUES('not committed')"); err != nil {
				return err
			}
			fmt.Println("committed")
			_, err := os.Stdin.Read(make([]byte, 1))
			return err
		})
	},
	"write": func(file string) error {
		d, err := Open(ctx, file, steps)
		if err != nil {
			return err
		}
		return d.Write(ctx, func(tx *Tx) error { return tx.One("INSERT INTO ran VALUES('written')") })
	},
}

// asNobody makes cmd run without root's right to write anywhere.
func asNobody(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	if os.Geteuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	}
}

// openDir makes a directory that every user can reach.
func openDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for up := dir; strings.HasPrefix(up, filepath.Clean(os.TempDir())+"/"); up = filepath.Dir(up) {
		if err := os.Chmod(up, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}
