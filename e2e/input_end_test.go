package e2e

import (
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"portero/shared/porterotest/rig"
)

// TestRelayDownAtStart: the machine works alone, and says what waits for what.
func TestRelayDownAtStart(t *testing.T) {
	t.Parallel()
	w := rig.New(t)
	w.Write(base + "\n[link]\nurl = \"ws://127.0.0.1:{{port}}/link\"\ntoken = \"prt_nobody-knows-it\"\n")
	p := w.Proxy()
	alive(t, p)
	began := time.Now()
	task := p.Ask("kit/append", `{"path":"`+w.Path("effect")+`","line":"x"}`)
	if d := time.Since(began); d > 3*time.Second {
		t.Errorf("the pending answer took %v", d)
	}
	if !task.Queued || task.Code == "" {
		t.Errorf("%+v", task)
	}
	mentions(t, task.Message, "The relay is not connected", "connection refused", "kept on this machine", "nothing runs until a human approves", task.ID)
	hides(t, task.Message+p.Stderr(), "nobody-knows-it")
	if got, _ := p.Check(task.ID, 0); got.Status != "pending-approval" || !got.Queued {
		t.Errorf("%+v", got)
	}
	p.Signal(syscall.SIGINT)
	if code := p.Wait(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if rig.Lines(t, w.Path("effect")) != nil {
		t.Error("it ran")
	}
}

// TestClientStopsReading: one that takes no more answers cannot keep the
// process, nor what it started, in whatever way it goes.
func TestClientStopsReading(t *testing.T) {
	t.Parallel()
	for _, end := range []string{"SIGTERM", "end of stdin", "end of stdout"} {
		t.Run(end, func(t *testing.T) {
			t.Parallel()
			w := rig.New(t)
			w.Write(alone + childConfig(another("npx", "-grandchild", "{{dir}}/grandchild")))
			cmd := exec.Command(rig.Bin("portero-stdio"), "--config", w.Config())
			cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + w.Dir}
			stdin, err := cmd.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			stdout, ours, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer stdout.Close()
			var errs strings.Builder
			cmd.Stdout, cmd.Stderr = ours, &errs
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			ours.Close()
			ended := make(chan error, 1)
			go func() { ended <- cmd.Wait() }()
			t.Cleanup(func() { cmd.Process.Kill() })
			lines := `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"rig","version":"1"}}}` + "\n"
			for _, id := range []string{"2", "3"} {
				lines += `{"jsonrpc":"2.0","id":` + id + `,"method":"tools/call","params":{"name":"kit/big","arguments":{"bytes":4000000},"_meta":{"progressToken":` + id + `}}}` + "\n"
			}
			if _, err := io.WriteString(stdin, lines); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(stdout, make([]byte, 2000)); err != nil { // the first answers, and no more
				t.Fatal(err)
			}
			w.Eventually("both calls are made", func() bool {
				return strings.Count(strings.Join(rig.Lines(t, w.Path("record")), ""), `"name":"big"`) == 2
			})
			grandchild := w.PIDFile("grandchild")
			switch end {
			case "SIGTERM":
				err = cmd.Process.Signal(syscall.SIGTERM)
			case "end of stdin":
				err = stdin.Close()
			case "end of stdout":
				err = stdout.Close()
			}
			if err != nil {
				t.Fatal(err)
			}
			select {
			case err := <-ended:
				if err != nil {
					t.Errorf("it ended with %v\n%s", err, errs.String())
				}
			case <-time.After(rig.Patience):
				t.Fatal("it did not end")
			}
			if rig.Running(grandchild) {
				t.Errorf("process %d is left behind", grandchild)
				if p, err := os.FindProcess(grandchild); err == nil {
					p.Kill()
				}
			}
		})
	}
}
