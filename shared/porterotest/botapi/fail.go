package botapi

import (
	"fmt"
	"net/http"
)

// Failure is one way of not answering properly. The zero value is HTTP 500
// with an error body.
type Failure struct {
	Status      int // HTTP status; default Code, else 500
	Code        int // error_code; default Status
	Description string
	RetryAfter  int  // seconds, in the parameters
	HTML        bool // an HTML page instead of JSON
	Hang        bool // no answer until the caller hangs up
	Cut         bool // an answer that ends in the middle
	Drop        bool // the connection is closed without an answer
	Late        bool // the call takes effect, only its answer is lost
}

type failing struct {
	Failure
	left int // negative: for ever
}

// Fail makes the next n calls of a method fail, every method for "*"; n < 0
// means until further notice and n = 0 ends it.
func (s *Server) Fail(method string, n int, f Failure) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n == 0 {
		delete(s.failures, method)
		return
	}
	s.failures[method] = &failing{Failure: f, left: n}
}

// failure takes the failure that a call of method meets; nil when none.
func (s *Server) failure(method string) *Failure {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, name := range []string{method, "*"} {
		f := s.failures[name]
		if f == nil {
			continue
		}
		if f.left > 0 {
			f.left--
		}
		if f.left == 0 {
			delete(s.failures, name)
		}
		taken := f.Failure
		return &taken
	}
	return nil
}

func (s *Server) misbehave(w http.ResponseWriter, r *http.Request, f Failure) {
	switch {
	case f.Hang:
		select {
		case <-r.Context().Done():
		case <-s.done:
		}
		panic(http.ErrAbortHandler)
	case f.Drop:
		panic(http.ErrAbortHandler)
	case f.Cut:
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"ok":true,"result":{"message_id":`)
		return
	}
	status, code := f.Status, f.Code
	if status == 0 {
		status = code
	}
	if status == 0 {
		status = 500
	}
	if code == 0 {
		code = status
	}
	if f.HTML {
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(status)
		fmt.Fprint(w, "<html><head><title>502 Bad Gateway</title></head></html>")
		return
	}
	description := f.Description
	if description == "" {
		description = http.StatusText(code)
	}
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"ok":false,"error_code":%d,"description":%q`, code, description)
	if f.RetryAfter > 0 {
		fmt.Fprintf(w, `,"parameters":{"retry_after":%d}`, f.RetryAfter)
	}
	fmt.Fprint(w, "}")
}
