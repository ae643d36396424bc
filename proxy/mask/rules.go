package mask

import "strings"

// Kind says what a JSON value is, and so which words in it belong to the
// protocol. Those are never rewritten: with a real value "text", a content
// block of type "text" must stay one. The gate passes over them too.
type Kind uint8

const (
	// Payload is anybody's data: every string and key is rewritten.
	Payload Kind = iota
	// Result is what MCP defines: a result, an error, the params of a request or
	// notification. MCP's keys and constants stay; what a tool or person put in
	// (text, structuredContent, arguments, data and all unknown members) is
	// rewritten throughout.
	Result
	// Tool is one tool definition. Keywords of MCP and JSON Schema stay; names
	// of properties and all that is said about them are rewritten, and so is the
	// tool's own name.
	Tool
	// Message is a whole JSON-RPC message: its id and method stay, the rest is
	// read as a Result.
	Message
)

// place is where a value stands, and so how it is read.
type place uint8

const (
	payload  place = iota // all of it is rewritten
	mcp                   // an object whose keys are in mcpKeys
	schema                // a JSON Schema, with keys in schemaKeys
	props                 // an object whose members are schemas
	meta                  // _meta
	word                  // a constant or number of the protocol
	ref                   // a reference within a schema
	envelope              // a JSON-RPC message
)

func (k Kind) place() place {
	switch k {
	case Payload:
		return payload
	case Message:
		return envelope
	}
	return mcp
}

// table turns lines of keys into a map. A key in two lines is a mistake in this
// file and stops every program and test that starts.
func table(lines map[place]string) map[string]place {
	keys := make(map[string]place)
	for p, line := range lines {
		for key := range strings.FieldsSeq(line) {
			if _, twice := keys[key]; twice {
				panic("mask: two rules for the key " + key)
			}
			keys[key] = p
		}
	}
	return keys
}

var mcpKeys = table(map[place]string{
	mcp: `content contents messages resource resources resourceTemplates prompts prompt roots tools
		tasks task completion annotations icons serverInfo clientInfo execution params
		modelPreferences hints toolChoice inputRequests`,
	schema: `inputSchema outputSchema requestedSchema`,
	meta:   `_meta`,
	word: `type role mimeType progressToken level method taskId resultType status audience code
		requestId progress total priority size ttl ttlMs pollInterval pollIntervalMs hasMore
		isError listChanged lastModified createdAt lastUpdatedAt sizes theme taskSupport mode
		readOnlyHint destructiveHint idempotentHint openWorldHint required cacheScope
		includeContext stopReason temperature maxTokens costPriority speedPriority
		intelligencePriority`,
	payload: `text title name description uri uriTemplate blob data message statusMessage logger
		reason structuredContent arguments input values instructions nextCursor requestState
		systemPrompt metadata stopSequences model url websiteUrl src id version toolUseId elicitationId`,
})

var envelopeKeys = table(map[place]string{
	mcp:  `params result error`,
	word: `jsonrpc id method`,
})

var schemaKeys = table(map[place]string{
	schema: `items prefixItems additionalItems additionalProperties unevaluatedProperties
		unevaluatedItems contains propertyNames not if then else allOf anyOf oneOf contentSchema`,
	props: `properties patternProperties $defs definitions dependentSchemas`,
	ref:   `$ref $dynamicRef`,
	word: `type format $schema contentEncoding contentMediaType minimum maximum exclusiveMinimum
		exclusiveMaximum multipleOf minLength maxLength minItems maxItems minProperties
		maxProperties minContains maxContains uniqueItems deprecated readOnly writeOnly`,
	payload: `title description default const enum examples required pattern dependentRequired
		$comment $id $anchor $dynamicAnchor`,
})

// member returns how the value of a key is read in an object at p, and whether
// the key itself is the protocol's. Only the plain spelling of a key counts, and
// an object where a constant should be is anybody's data.
func (p place) member(key []byte) (value place, protected bool) {
	switch p {
	case envelope:
		value, protected = envelopeKeys[string(key)]
	case mcp:
		value, protected = mcpKeys[string(key)]
	case schema:
		value, protected = schemaKeys[string(key)]
	case props:
		value = schema
	case meta:
		// Keys under this prefix are reserved for MCP itself.
		if strings.HasPrefix(string(key), "io.modelcontextprotocol/") {
			return mcp, true
		}
		if string(key) == "progressToken" {
			return word, true
		}
	}
	return value, protected
}

// constant reports whether the inside of a literal has the shape of a protocol
// constant or token. What has not, a child put there: it is no constant.
func constant(body []byte) bool {
	for _, c := range body {
		switch {
		case c|0x20 >= 'a' && c|0x20 <= 'z', c >= '0' && c <= '9':
		case strings.IndexByte("-_./+:;=", c) >= 0:
		default:
			return false
		}
	}
	return len(body) <= 128
}
