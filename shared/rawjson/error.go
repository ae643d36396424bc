package rawjson

// JSON-RPC error codes of what this package refuses.
const (
	CodeSyntax  = -32700 // not JSON, or not UTF-8
	CodeInvalid = -32600 // JSON, but not a message Portero accepts
	CodeParams  = -32602 // a message whose parameters are not acceptable
)

// Error says why input was refused. Its text names the fault and its place,
// never the content, so that it may be logged and sent back.
type Error struct {
	Code int // a JSON-RPC error code
	Msg  string
}

// The classes of refusal, for errors.Is; the code alone is compared.
var (
	ErrSyntax  = &Error{CodeSyntax, "invalid JSON"}
	ErrInvalid = &Error{CodeInvalid, "invalid request"}
	ErrParams  = &Error{CodeParams, "invalid params"}
)

// Error returns the reason.
func (e *Error) Error() string { return e.Msg }

// Is reports whether target is an *Error with the same code.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Code == e.Code
}
