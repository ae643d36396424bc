package catalog

import (
	"bytes"
	"encoding/json"

	"portero/shared/rawjson"
)

// Pending is the JSON schema of what a call answers that waits for approval.
const Pending = `{"type":"object","properties":{"status":{"const":"pending-approval"},"taskId":{"type":"string"}},"required":["status","taskId"]}`

// Definition returns t's definition as the client is shown it under the name
// listed. When calls may be put before a human (mayWait), the declared
// outputSchema gets the pending answer as an alternative: clients check
// results against it and would refuse that answer otherwise.
func (t Tool) Definition(listed string, mayWait bool) []byte {
	def := rawjson.Set(t.Def, "name", rawjson.Quote(nil, listed))
	if schema, ok := rawjson.Get(def, "inputSchema"); !ok || !bytes.Equal(schema, t.Schema) {
		def = rawjson.Set(def, "inputSchema", t.Schema)
	}
	if out, ok := rawjson.Get(def, "outputSchema"); ok && mayWait {
		if wide, ok := widen(out); ok {
			return rawjson.Set(def, "outputSchema", wide)
		}
		return rawjson.Delete(def, "outputSchema")
	}
	return def
}

// widen adds the pending answer to an output schema. A schema that refers to
// parts of itself cannot be moved below another one.
func widen(schema []byte) ([]byte, bool) {
	var object map[string]json.RawMessage
	if json.Unmarshal(schema, &object) != nil {
		return nil, false
	}
	for _, word := range []string{`$ref"`, `$id"`, `$anchor"`, `$dynamicRef"`} {
		if bytes.Contains(schema, []byte(word)) {
			return nil, false
		}
	}
	wide := append([]byte(`{"type":"object","anyOf":[`), rawjson.Delete(schema, "$schema")...)
	return append(append(append(wide, ','), Pending...), `]}`...), true
}
