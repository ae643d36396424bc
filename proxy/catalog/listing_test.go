package catalog

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestDefinition(t *testing.T) {
	const in = `"inputSchema":{"type":"object"}`
	for _, tc := range []struct {
		name, def string
		mayWait   bool
		want      string
	}{
		{"only the name differs", ` {"description" : "d\u00e9", "name":"x",` + in + `,"x-new":[1.0, {}]} `, false,
			` {"description" : "d\u00e9", "name":"N",` + in + `,"x-new":[1.0, {}]} `},
		{"no schema", `{"name":"x"}`, false, `{"name":"N",` + in + `}`},
		{"a schema of another type", `{"name":"x","inputSchema":{"type":"string"}}`, false, `{"name":"N",` + in + `}`},
		{"a schema without a type", `{"name":"x","inputSchema":{"properties":{}}}`, false, `{"name":"N",` + in + `}`},
		{"null for a schema", `{"name":"x","inputSchema":null}`, false, `{"name":"N",` + in + `}`},
		{"two schemas", `{"name":"x","inputSchema":{"type":"object"},"inputSchema":7}`, false, `{"name":"N","inputSchema":{"type":"object"},"inputSchema":{"type":"object"}}`},
		{"members of the wrong kind", `{"name":"x",` + in + `,"description":null,"title":7,"annotations":[],"_meta":"m","icons":{},"outputSchema":null}`, false, `{"name":"N",` + in + `}`},
		{"an output schema", `{"name":"x",` + in + `,"outputSchema":{"type":"object","properties":{}}}`, false,
			`{"name":"N",` + in + `,"outputSchema":{"type":"object","properties":{}}}`},
		{"an output schema that clients refuse", `{"name":"x",` + in + `,"outputSchema":{"type":"array"}}`, false, `{"name":"N",` + in + `}`},
		{"an output schema, and it may wait", `{"name":"x",` + in + `,"outputSchema":{"$schema":"s","type":"object","required":["a"]}}`, true,
			`{"name":"N",` + in + `,"outputSchema":{"type":"object","anyOf":[{"type":"object","required":["a"]},` + Pending + `]}}`},
		{"an output schema that refers to itself", `{"name":"x",` + in + `,"outputSchema":{"type":"object","properties":{"a":{"$ref":"#/$defs/a"}},"$defs":{"a":{}}}}`, true,
			`{"name":"N",` + in + `}`},
		{"an output schema with an address", `{"name":"x","outputSchema":{"$id":"http://x/","type":"object"},` + in + `}`, true, `{"name":"N",` + in + `}`},
		{"null for an output schema, and it may wait", `{"name":"x",` + in + `,"outputSchema":null}`, true, `{"name":"N",` + in + `}`},
	} {
		tool, err := read("kit", []byte(tc.def))
		if err != nil {
			t.Fatal(err)
		}
		got := string(tool.Definition("N", tc.mayWait))
		if got != tc.want {
			t.Errorf("%s:\ngot  %s\nwant %s", tc.name, got, tc.want)
		}
		if !json.Valid([]byte(got)) {
			t.Errorf("%s: not JSON", tc.name)
		}
		if again := string(tool.Definition("N", tc.mayWait)); again != got {
			t.Errorf("%s: a second time it is %s", tc.name, again)
		}
		if string(tool.Def) != tc.def {
			t.Errorf("%s: the server's own definition was changed", tc.name)
		}
	}
}

func TestDigestIsOfTheServersBytes(t *testing.T) {
	a, err := read("kit", def("x"))
	if err != nil {
		t.Fatal(err)
	}
	b, err := read("kit", []byte(strings.Replace(string(def("x")), "Does it", "Does it!", 1)))
	if err != nil {
		t.Fatal(err)
	}
	other, err := read("kit", def("x"))
	if err != nil || a.Digest == b.Digest || a.Digest != other.Digest {
		t.Errorf("digests %x, %x, %x, %v", a.Digest, b.Digest, other.Digest, err)
	}
}
