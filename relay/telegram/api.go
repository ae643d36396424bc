package telegram

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	tgbotapi "github.com/go-telegram-bot-api/telegram-bot-api/v5"
)

// maxAnswer bounds an answer of the Bot API; a full batch of updates is far
// below it.
const maxAnswer = 16 << 20

// api calls the Bot API. The token is part of every URL, so of every error of
// the HTTP client and of the library: no error leaves this file with it.
type api struct {
	token    string // escaped for a URL path
	endpoint string // the library's format of a method's address
	client   *http.Client
	hide     *strings.Replacer
}

// apiError is what went wrong with a call. Code is the Bot API's, or the HTTP
// status where the answer held none, or 0 where there was no answer.
type apiError struct {
	Code       int
	RetryAfter int // seconds
	Msg        string
	cause      error // the context's end, nothing else
}

func (e *apiError) Error() string { return e.Msg }
func (e *apiError) Unwrap() error { return e.cause }

// permanent reports whether repeating the same call is pointless.
func (e *apiError) permanent() bool { return e.Code == 400 || e.Code == 403 || e.Code == 413 }

// said reports whether the answer's description holds a text.
func (e *apiError) said(text string) bool {
	return strings.Contains(strings.ToLower(e.Msg), text)
}

// quiet silences the library's own logger, which prints what it is given.
type quiet struct{}

func (quiet) Println(...any)        {}
func (quiet) Printf(string, ...any) {}

var silence = sync.OnceFunc(func() { tgbotapi.SetLogger(quiet{}) })

func newAPI(token, address string) *api {
	silence()
	token = strings.TrimSpace(token)
	escaped := url.PathEscape(token)
	var pairs []string
	for _, form := range []string{token, escaped, url.QueryEscape(token)} {
		if form != "" {
			pairs = append(pairs, form, "<token>")
		}
	}
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.DialContext = (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 15 * time.Second}).DialContext
	t.TLSHandshakeTimeout = 10 * time.Second
	// A connection that died without a word must not swallow call after call.
	t.HTTP2 = &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 10 * time.Second}
	return &api{
		token:    escaped,
		endpoint: strings.ReplaceAll(strings.TrimRight(address, "/"), "%", "%%") + "/bot%s/%s",
		hide:     strings.NewReplacer(pairs...),
		client: &http.Client{
			Transport: t,
			// A redirect would carry the token to wherever it points.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

func (a *api) close() { a.client.CloseIdleConnections() }

// call calls a method and decodes its result into result, unless that is nil.
func (a *api) call(ctx context.Context, timeout time.Duration, method string, params tgbotapi.Params, result any) error {
	return a.do(ctx, timeout, method, result, func(bot *tgbotapi.BotAPI) (*tgbotapi.APIResponse, error) {
		return bot.MakeRequest(method, params)
	})
}

// upload sends a document and returns its message.
func (a *api) upload(ctx context.Context, timeout time.Duration, doc tgbotapi.DocumentConfig) (m tgbotapi.Message, err error) {
	err = a.do(ctx, timeout, "sendDocument", &m, func(bot *tgbotapi.BotAPI) (*tgbotapi.APIResponse, error) {
		return bot.Request(doc)
	})
	return m, err
}

func (a *api) do(ctx context.Context, timeout time.Duration, method string, result any,
	request func(*tgbotapi.BotAPI) (*tgbotapi.APIResponse, error)) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	d := &doer{ctx: ctx, client: a.client}
	bot := &tgbotapi.BotAPI{Token: a.token, Client: d}
	bot.SetAPIEndpoint(a.endpoint)
	answer, err := request(bot)
	if err == nil && result != nil {
		err = json.Unmarshal(answer.Result, result)
	}
	if err == nil {
		return nil
	}
	e := &apiError{Code: d.status}
	var said *tgbotapi.Error
	switch {
	case errors.As(err, &said):
		if said.Code != 0 { // the library leaves it out for uploads
			e.Code = said.Code
		}
		e.RetryAfter = said.RetryAfter
		e.Msg = fmt.Sprintf("%s: %d %s", method, e.Code, said.Message)
		if said.MigrateToChatID != 0 {
			e.Msg += fmt.Sprintf(" (the chat is now %d)", said.MigrateToChatID)
		}
	case ctx.Err() != nil:
		e.Code, e.cause = 0, ctx.Err()
		e.Msg = fmt.Sprintf("%s: no answer within %v", method, timeout)
	case d.status == 0:
		e.Msg = fmt.Sprintf("%s: %v", method, err)
	case d.status == 200:
		e.Code = 0
		e.Msg = fmt.Sprintf("%s: unreadable answer: %v", method, err)
	default:
		e.Msg = fmt.Sprintf("%s: HTTP %d with an unreadable body", method, d.status)
	}
	e.Msg = a.hide.Replace(e.Msg)
	return e
}

// doer binds the library's requests, which know no context, to one, and keeps
// the HTTP status, which the library drops.
type doer struct {
	ctx    context.Context
	client *http.Client
	status int
}

// Do sends one request.
func (d *doer) Do(req *http.Request) (*http.Response, error) {
	resp, err := d.client.Do(req.WithContext(d.ctx))
	if err != nil {
		return nil, err
	}
	d.status = resp.StatusCode
	resp.Body = struct {
		io.Reader
		io.Closer
	}{io.LimitReader(resp.Body, maxAnswer), resp.Body}
	return resp, nil
}
