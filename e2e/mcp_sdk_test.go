package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"portero/shared/porterotest/rig"
)

// TestClientsOfOthers: the official TypeScript clients of both generations,
// through portero-stdio, to servers written by others. The clients check every
// result against the tool's output schema.
func TestClientsOfOthers(t *testing.T) {
	t.Parallel()
	node, filesystem := rig.NodeServer(t, "@modelcontextprotocol/server-filesystem")
	_, everything := rig.NodeServer(t, "@modelcontextprotocol/server-everything")
	for client, revision := range map[string]string{"v1": "", "v2": "2026-07-28"} {
		t.Run(client, func(t *testing.T) {
			t.Parallel()
			w := rig.New(t)
			if err := os.Mkdir(w.Path("files"), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(w.Path("files", "a.txt"), []byte("To María Cárdenas <b> & more"), 0o600); err != nil {
				t.Fatal(err)
			}
			w.Write(alone + fmt.Sprintf(`
[[mcp]]
name = "filesystem"
command = %[1]q
args = [%[2]q, "{{dir}}/files"]
[[mcp]]
name = "everything"
command = %[1]q
args = [%[3]q]
[policy]
default = "require-approval"
[policy.tools]
"filesystem/read_text_file" = "allow"
"filesystem/list_*" = "allow"
"filesystem/move_file" = "deny"
"everything/echo" = "allow"
"everything/get-sum" = "allow"
"everything/get-tiny-image" = "allow"
"everything/trigger-long-running-operation" = "allow"
[[replacement]]
fake = "John Doe"
real = "María Cárdenas"
`, node, filesystem, everything))
			calls := []string{
				`{"name":"filesystem/read_text_file","arguments":{"path":"` + w.Path("files", "a.txt") + `"}}`,
				`{"name":"filesystem/list_directory","arguments":{"path":"` + w.Path("files") + `"}}`,
				`{"name":"filesystem/write_file","arguments":{"path":"` + w.Path("files", "b.txt") + `","content":"To John Doe"}}`,
				`{"name":"everything/get-structured-content","arguments":{"location":"New York"}}`,
				`{"name":"everything/echo","arguments":{"message":"from John Doe"}}`,
				`{"name":"everything/get-sum","arguments":{"a":2,"b":40}}`,
				`{"name":"everything/get-tiny-image","arguments":{}}`,
				`{"name":"everything/trigger-long-running-operation","arguments":{"duration":0.2,"steps":2}}`,
				`{"name":"filesystem/move_file","arguments":{"source":"a","destination":"b"}}`,
				`{"name":"filesystem/read_text_file","arguments":{"path":"/etc/passwd"}}`,
				`{"name":"portero/call","arguments":{"tool":"everything/echo","args":{"message":"by name"}}}`,
				`{"name":"portero/search_tools","arguments":{"query":"read a text file"}}`,
				`{"name":"portero/list_tasks","arguments":{}}`,
			}
			var seen struct {
				Instructions, Revision string
				Tools                  []struct{ Name string }
				Results                []struct {
					Content           []struct{ Type, Text, MimeType, Data string }
					StructuredContent struct {
						Content, Status, TaskID string
						Count                   int
						Tools                   []struct{ Name string }
					}
					IsError  bool
					Failed   string
					Code     int
					Progress []struct{ Progress, Total int }
				}
			}
			out := w.Script("client.mjs", client, rig.Bin("portero-stdio"), w.Config(),
				`["filesystem/write_file","everything/get-structured-content"]`, "["+strings.Join(calls, ",")+"]")
			if err := json.Unmarshal([]byte(out), &seen); err != nil || len(seen.Results) != len(calls) {
				t.Fatalf("%v\n%s", err, out)
			}
			hides(t, out, "María")
			mentions(t, seen.Instructions, "John Doe")
			if seen.Revision != revision && client == "v2" {
				t.Errorf("revision %q", seen.Revision)
			}
			var names []string
			for _, tool := range seen.Tools {
				names = append(names, tool.Name)
			}
			if len(names) < 30 || !slices.Contains(names, "filesystem/write_file") || !slices.Contains(names, "everything/get-structured-content") {
				t.Errorf("listed are %v", names)
			}
			r := seen.Results
			for i, call := range calls {
				if i == 8 {
					continue
				}
				if r[i].Failed != "" || len(r[i].Content) == 0 {
					t.Errorf("%s failed: %s", call, r[i].Failed)
					r[i].Content = append(r[i].Content, struct{ Type, Text, MimeType, Data string }{})
				}
			}
			if r[0].Content[0].Text != "To John Doe <b> & more" || r[0].StructuredContent.Content != r[0].Content[0].Text {
				t.Errorf("read %+v", r[0])
			}
			mentions(t, r[1].Content[0].Text, "a.txt")
			for _, i := range []int{2, 3} {
				if s := r[i].StructuredContent; r[i].IsError || s.Status != "pending-approval" || s.TaskID == "" {
					t.Errorf("%s was answered %+v", calls[i], r[i])
				}
			}
			mentions(t, r[4].Content[0].Text, "from John Doe")
			mentions(t, r[5].Content[0].Text, "42")
			if !slices.ContainsFunc(r[6].Content, func(c struct{ Type, Text, MimeType, Data string }) bool {
				return c.Type == "image" && c.MimeType == "image/png" && len(c.Data) > 100
			}) {
				t.Errorf("image: %+v", r[6])
			}
			// These clients drop what comes in the same breath as the result.
			if p := r[7].Progress; len(p) == 0 || p[0].Progress != 1 || p[0].Total != 2 {
				t.Errorf("progress: %+v", r[7])
			}
			mentions(t, r[8].Failed, "filesystem/move_file is denied by policy")
			if r[8].Code != -32000 || !r[9].IsError {
				t.Errorf("denied with %d; a path outside gave %+v", r[8].Code, r[9])
			}
			mentions(t, r[10].Content[0].Text, "by name")
			if s := r[11].StructuredContent; s.Count == 0 || s.Tools[0].Name != "filesystem/read_text_file" {
				t.Errorf("found %+v", r[11])
			}
			if r[12].StructuredContent.Count != 2 {
				t.Errorf("tasks: %+v", r[12])
			}
			if _, err := os.Stat(w.Path("files", "b.txt")); err == nil {
				t.Error("a file was written that nobody approved")
			}
		})
	}
}
