package mask

import (
	"strings"
	"testing"
)

func TestKinds(t *testing.T) {
	// Reals that are words of the protocol as well.
	clash := exact("text=Wort", "content=Inhalt", "type=Sorte", "user=Mensch", "name=Nomen", "object=Objekt", "string=Kette", "properties=Merkmale",
		"María=Johan", "100=200", "info=Kunde", "data=Datum")
	tests := []struct {
		name string
		kind Kind
		in   string
		want string // "" means unchanged
	}{
		{"payload knows no protocol", Payload, `{"content":[{"type":"text","text":"María"}],"n":100}`, `{"Inhalt":[{"Sorte":"Wort","Wort":"Johan"}],"n":200}`},

		{"content", Result, `{"content":[{"type":"text","text":"María text"}],"isError":false}`, `{"content":[{"type":"text","text":"Johan Wort"}],"isError":false}`},
		{"unchanged", Result, `{"content":[{"type":"text","text":"x"}]}`, ``},
		{"structuredContent is data", Result, `{"structuredContent":{"content":[{"type":"text","name":"María"}],"progress":100}}`,
			`{"structuredContent":{"Inhalt":[{"Sorte":"Wort","Nomen":"Johan"}],"progress":200}}`},
		{"unknown members are data", Result, `{"customer":{"type":"text","name":"María"},"María":[{"type":1}]}`, `{"customer":{"Sorte":"Wort","Nomen":"Johan"},"Johan":[{"Sorte":1}]}`},
		{"embedded resource", Result, `{"content":[{"type":"resource","resource":{"uri":"file:///María/text","mimeType":"text/plain","text":"type"},"annotations":{"audience":["user"],"priority":100}}]}`,
			`{"content":[{"type":"resource","resource":{"uri":"file:///Johan/Wort","mimeType":"text/plain","text":"Sorte"},"annotations":{"audience":["user"],"priority":100}}]}`},
		{"what is no constant is not protected", Result, `{"content":[{"type":"María","text":1},{"type":"text user","role":"user"}]}`, `{"content":[{"type":"Johan","text":1},{"type":"Wort Mensch","role":"user"}]}`},
		{"nor is an object in its place", Result, `{"type":{"type":"text"},"role":["user",{"name":"user"}]}`, `{"type":{"Sorte":"Wort"},"role":["user",{"Nomen":"Mensch"}]}`},
		{"an escaped key is not the protocol's", Result, `{"t\u0079pe":"text"}`, `{"Sorte":"Wort"}`},
		{"error", Result, `{"code":100,"message":"no user María","data":{"type":"user","code":100}}`, `{"code":100,"message":"no Mensch Johan","data":{"Sorte":"Mensch","code":200}}`},
		{"progress", Result, `{"progressToken":"text","progress":100,"total":100,"message":"María"}`, `{"progressToken":"text","progress":100,"total":100,"message":"Johan"}`},
		{"log message", Result, `{"level":"info","logger":"info","data":{"level":"info"}}`, `{"level":"info","logger":"Kunde","data":{"level":"Kunde"}}`},
		{"_meta", Result, `{"_meta":{"progressToken":"text","io.modelcontextprotocol/related-task":{"taskId":"text","note":"text"},"com.example/text":{"taskId":"text"}}}`,
			`{"_meta":{"progressToken":"text","io.modelcontextprotocol/related-task":{"taskId":"text","note":"Wort"},"com.example/Wort":{"taskId":"Wort"}}}`},
		{"arguments are data", Result, `{"arguments":{"type":"user","content":100}}`, `{"arguments":{"Sorte":"Mensch","Inhalt":200}}`},
		{"prompts and resources", Result, `{"prompts":[{"name":"user","title":"text"}],"resources":[{"uri":"x:name","name":"name","mimeType":"text/x"}],"nextCursor":"user"}`,
			`{"prompts":[{"name":"Mensch","title":"Wort"}],"resources":[{"uri":"x:Nomen","name":"Nomen","mimeType":"text/x"}],"nextCursor":"Mensch"}`},
		{"sampling", Result, `{"messages":[{"role":"user","content":{"type":"text","text":"user"}}],"systemPrompt":"user","metadata":{"type":"user"}}`,
			`{"messages":[{"role":"user","content":{"type":"text","text":"Mensch"}}],"systemPrompt":"Mensch","metadata":{"Sorte":"Mensch"}}`},
		{"elicitation", Result, `{"message":"name?","requestedSchema":{"type":"object","properties":{"name":{"type":"string","title":"name"}},"required":["name"]}}`,
			`{"message":"Nomen?","requestedSchema":{"type":"object","properties":{"Nomen":{"type":"string","title":"Nomen"}},"required":["Nomen"]}}`},

		{"tool", Tool, `{"name":"read","title":"María","description":"type text","inputSchema":{"type":"object","properties":{"type":{"type":["string","null"],"description":"user","enum":["text",100],"default":"text","maxLength":100},"María":{"const":"user"}},"required":["type","María"],"additionalProperties":false},"annotations":{"title":"user","readOnlyHint":true}}`,
			`{"name":"read","title":"Johan","description":"Sorte Wort","inputSchema":{"type":"object","properties":{"Sorte":{"type":["string","null"],"description":"Mensch","enum":["Wort",200],"default":"Wort","maxLength":100},"Johan":{"const":"Mensch"}},"required":["Sorte","Johan"],"additionalProperties":false},"annotations":{"title":"Mensch","readOnlyHint":true}}`},
		{"references follow what they point to", Tool, `{"inputSchema":{"$defs":{"user":{"type":"object"},"María":{}},"properties":{"a":{"$ref":"#/$defs/user"},"b":{"items":{"$ref":"#/$defs/María"}},"c":{"$ref":"#/properties/name"},"d":{"$ref":"text.json#user"},"name":{}}}}`,
			`{"inputSchema":{"$defs":{"Mensch":{"type":"object"},"Johan":{}},"properties":{"a":{"$ref":"#/$defs/Mensch"},"b":{"items":{"$ref":"#/$defs/Johan"}},"c":{"$ref":"#/properties/Nomen"},"d":{"$ref":"Wort.json#Mensch"},"Nomen":{}}}}`},
		{"property names that are keywords", Tool, `{"inputSchema":{"properties":{"properties":{"type":"object","properties":{"type":{"type":"string"}}}},"anyOf":[{"required":["type"]},{"properties":{"data":{"format":"data"}}}]}}`,
			`{"inputSchema":{"properties":{"Merkmale":{"type":"object","properties":{"Sorte":{"type":"string"}}}},"anyOf":[{"required":["Sorte"]},{"properties":{"Datum":{"format":"data"}}}]}}`},
		{"examples are data", Tool, `{"inputSchema":{"examples":[{"type":"text","properties":100}],"x-user":{"type":"text"}}}`, `{"inputSchema":{"examples":[{"Sorte":"Wort","Merkmale":200}],"x-Mensch":{"Sorte":"Wort"}}}`},
		{"schema version", Tool, `{"inputSchema":{"$schema":"http://json-schema.org/draft-07/schema","type":"object"},"outputSchema":{"type":"object","properties":{"content":{"type":"string"}}}}`,
			`{"inputSchema":{"$schema":"http://json-schema.org/draft-07/schema","type":"object"},"outputSchema":{"type":"object","properties":{"Inhalt":{"type":"string"}}}}`},
	}
	table := mustCompile(t, clash...)
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if test.want == "" {
				test.want = test.in
			}
			got, _, err := table.Mask([]byte(test.in), test.kind)
			if err != nil || string(got) != test.want {
				t.Fatalf("got  %s (%v)\nwant %s", got, err, test.want)
			}
			if label, found := table.Leak(got, test.kind); found {
				t.Errorf("the gate finds %s in %s", label, got)
			}
			if _, found := table.Leak([]byte(test.in), test.kind); found != (test.in != test.want) {
				t.Errorf("the gate says %v to %s", found, test.in)
			}
		})
	}
}

// FuzzKindsAgree: whatever the kind, a value is only ever left alone where the
// protocol stands, and never changed where Payload would not change it.
func FuzzKindsAgree(f *testing.F) {
	f.Add([]byte(`{"content":[{"type":"text","text":"María"}],"inputSchema":{"properties":{"María":{"$ref":"#/$defs/María/María"}}}}`))
	f.Add([]byte(`{"_meta":{"io.modelcontextprotocol/María":"María"},"type":["María",{"María":1}]}`))
	table := mustCompile(f, exact("María=Johan")...)
	f.Fuzz(func(t *testing.T, doc []byte) {
		all, n, err := table.Mask(doc, Payload)
		for _, kind := range []Kind{Result, Tool} {
			some, m, err2 := table.Mask(doc, kind)
			if (err == nil) != (err2 == nil) || m > n {
				t.Fatalf("%v, %v, %d of %d", err, err2, m, n)
			}
			// María is no constant, so it is protected nowhere but in reserved keys.
			if err == nil && !strings.Contains(string(doc), "io.modelcontextprotocol") && string(some) != string(all) {
				t.Fatalf("kind %d: %s\npayload: %s", kind, some, all)
			}
		}
	})
}
