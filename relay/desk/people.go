package desk

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"portero/shared/audit"
	"portero/shared/db"
)

// Token is a bearer token as the store knows it: by its hash.
type Token struct {
	Name    string
	Role    string // "machine" or "teammate"
	Tools   []string
	Created time.Time
	Expires time.Time // zero: never
	Revoked time.Time // zero: live
	Used    time.Time // last use, to about a minute
}

// Errors of tokens and sign-in.
var (
	ErrTokenExists = errors.New("a token of that name exists; revoke it first or choose another name")
	ErrNoToken     = errors.New("no live token of that name")
	ErrBadToken    = errors.New("the token is wrong, expired or revoked")
	ErrSignin      = errors.New("the sign-in link is used up or too old")
)

// secret returns a new random secret of 256 bits and its hash. The secret has
// more entropy than any guesser has time, so a plain hash is enough, and the
// look-up by hash leaks nothing about it by its timing.
func secret(prefix string) (string, []byte) {
	var b [32]byte
	rand.Read(b[:])
	s := prefix + base64.RawURLEncoding.EncodeToString(b[:])
	return s, digest(s)
}

func digest(s string) []byte {
	h := sha256.Sum256([]byte(s))
	return h[:]
}

// CreateToken makes a token and returns its secret, which is stored nowhere.
// A zero expires means never.
func (d *Desk) CreateToken(ctx context.Context, name, role string, tools []string, expires time.Time) (string, error) {
	s, hash := secret("prt_")
	patterns, err := json.Marshal(tools)
	if err != nil {
		return "", fmt.Errorf("encode patterns: %w", err)
	}
	err = d.db.Write(ctx, func(tx *db.Tx) error {
		// A revoked token's name may be used again.
		if _, err := tx.Exec("DELETE FROM tokens WHERE name = ? AND revoked <> 0", name); err != nil {
			return err
		}
		r, err := tx.Exec("INSERT INTO tokens(name, role, hash, tools, created, expires) VALUES(?,?,?,?,?,?) ON CONFLICT(name) DO NOTHING",
			name, role, hash, string(patterns), db.Millis(tx.Now), db.Millis(expires))
		if err != nil {
			return err
		}
		if n, err := r.RowsAffected(); err != nil || n == 0 {
			return errors.Join(ErrTokenExists, err)
		}
		return audit.Append(tx, audit.Entry{Event: "token-created", Note: role + " " + name})
	})
	return unless(s, err)
}

// RevokeToken ends a token. Live connections that use it are closed within
// seconds.
func (d *Desk) RevokeToken(ctx context.Context, name string) error {
	return d.db.Write(ctx, func(tx *db.Tx) error {
		r, err := tx.Exec("UPDATE tokens SET revoked = ? WHERE name = ? AND revoked = 0", db.Millis(tx.Now), name)
		if err != nil {
			return err
		}
		if n, err := r.RowsAffected(); err != nil || n == 0 {
			return errors.Join(ErrNoToken, err)
		}
		return audit.Append(tx, audit.Entry{Event: "token-revoked", Note: name})
	})
}

// Tokens lists all tokens by name, the revoked ones too.
func (d *Desk) Tokens(ctx context.Context) (all []Token, err error) {
	err = d.db.Read(ctx, func(tx *db.Tx) error {
		all, err = db.All(tx, scanToken, "SELECT name, role, tools, created, expires, revoked, used FROM tokens ORDER BY name")
		return err
	})
	return all, err
}

func scanToken(row db.Row) (Token, error) {
	var t Token
	var tools string
	var created, expires, revoked, used int64
	if err := row.Scan(&t.Name, &t.Role, &tools, &created, &expires, &revoked, &used); err != nil {
		return t, err
	}
	t.Created, t.Expires, t.Revoked, t.Used = db.Time(created), db.Time(expires), db.Time(revoked), db.Time(used)
	err := json.Unmarshal([]byte(tools), &t.Tools)
	return t, err
}

// CheckToken returns the live token whose secret s is, or ErrBadToken.
func (d *Desk) CheckToken(ctx context.Context, s string) (t Token, err error) {
	stale := false
	err = d.db.Read(ctx, func(tx *db.Tx) error {
		t, err = scanToken(tx.QueryRow("SELECT name, role, tools, created, expires, revoked, used FROM tokens WHERE hash = ?", digest(s)))
		if errors.Is(err, sql.ErrNoRows) || err == nil && (!t.Revoked.IsZero() || !t.Expires.IsZero() && !tx.Now.Before(t.Expires)) {
			return ErrBadToken
		}
		stale = tx.Now.Sub(t.Used) > time.Minute
		return err
	})
	if err != nil || !stale {
		return t, err
	}
	return t, d.db.Write(ctx, func(tx *db.Tx) error {
		_, err := tx.Exec("UPDATE tokens SET used = ? WHERE name = ?", db.Millis(tx.Now), t.Name)
		return err
	})
}

// NewSignin makes a one-time sign-in secret for the approval page.
func (d *Desk) NewSignin(ctx context.Context, ttl time.Duration) (string, error) {
	s, hash := secret("")
	return unless(s, d.db.Write(ctx, func(tx *db.Tx) error {
		if _, err := tx.Exec("DELETE FROM signins WHERE expires < ?", db.Millis(tx.Now)); err != nil {
			return err
		}
		_, err := tx.Exec("INSERT INTO signins(hash, expires) VALUES(?,?)", hash, db.Millis(tx.Now.Add(ttl)))
		return err
	}))
}

// Signin uses a sign-in secret up and returns a new session's secret, or
// ErrSignin.
func (d *Desk) Signin(ctx context.Context, s string, ttl time.Duration) (string, error) {
	session, hash := secret("")
	csrf, _ := secret("")
	return unless(session, d.db.Write(ctx, func(tx *db.Tx) error {
		err := tx.One("DELETE FROM signins WHERE hash = ? AND expires >= ?", digest(s), db.Millis(tx.Now))
		if errors.Is(err, db.ErrChanged) {
			return ErrSignin
		} else if err != nil {
			return err
		}
		if _, err := tx.Exec("DELETE FROM sessions WHERE expires < ?", db.Millis(tx.Now)); err != nil {
			return err
		}
		if _, err := tx.Exec("INSERT INTO sessions(hash, csrf, expires) VALUES(?,?,?)", hash, csrf, db.Millis(tx.Now.Add(ttl))); err != nil {
			return err
		}
		return audit.Append(tx, audit.Entry{Event: "signed-in", By: "page"})
	}))
}

// unless returns no secret that was not recorded.
func unless(s string, err error) (string, error) {
	if err != nil {
		return "", err
	}
	return s, nil
}

// Session returns the CSRF token of a live session; ok is false for any other.
func (d *Desk) Session(ctx context.Context, s string) (csrf string, ok bool, err error) {
	err = d.db.Read(ctx, func(tx *db.Tx) error {
		err := tx.QueryRow("SELECT csrf FROM sessions WHERE hash = ? AND expires >= ?", digest(s), db.Millis(tx.Now)).Scan(&csrf)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		ok = err == nil
		return err
	})
	return csrf, ok, err
}

// Signout ends a session.
func (d *Desk) Signout(ctx context.Context, s string) error {
	return d.db.Write(ctx, func(tx *db.Tx) error {
		_, err := tx.Exec("DELETE FROM sessions WHERE hash = ?", digest(s))
		return err
	})
}
