package catalog

import (
	"bytes"

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
	// Clients refuse a whole list for one member of the wrong kind, null
	// included. All of these may be absent.
	for _, s := range shapes {
		if v, ok := rawjson.Get(def, s.member); ok && v[0] != s.first {
			def = rawjson.Delete(def, s.member)
		}
	}
	out, ok := rawjson.Get(def, "outputSchema")
	if kind, _ := rawjson.Get(out, "type"); ok && string(kind) != `"object"` {
		return rawjson.Delete(def, "outputSchema")
	}
	if ok && mayWait {
		if wide, ok := widen(out); ok {
			return rawjson.Set(def, "outputSchema", wide)
		}
		return rawjson.Delete(def, "outputSchema")
	}
	return def
}

// shapes are the first bytes that a definition's optional members must have.
var shapes = []struct {
	member string
	first  byte
}{{"title", '"'}, {"description", '"'}, {"outputSchema", '{'}, {"annotations", '{'}, {"execution", '{'}, {"_meta", '{'}, {"icons", '['}}

// widen adds the pending answer to an output schema. A schema that refers to
// parts of itself cannot be moved below another one.
func widen(schema []byte) ([]byte, bool) {
	for _, word := range []string{`$ref"`, `$id"`, `$anchor"`, `$dynamicRef"`} {
		if bytes.Contains(schema, []byte(word)) {
			return nil, false
		}
	}
	wide := append([]byte(`{"type":"object","anyOf":[`), rawjson.Delete(schema, "$schema")...)
	return append(append(append(wide, ','), Pending...), `]}`...), true
}
