// Package bind ties an approval to exactly what was shown: a digest over the
// machine, the server and how it is launched, the tool's definition, the
// argument bytes, the replacement table and the policy rule that asked. It is
// taken when the call is put before a human and again, from the journal's
// bytes and the live configuration, just before the server gets it. Anything
// that differs stops the call.
package bind

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"encoding/hex"
)

// Fields is everything an approval is bound to. Digests are of whatever their
// owner says; equality is all that counts.
type Fields struct {
	Task    string
	Journal string
	Tool    string
	Launch  []byte // the server's command, arguments, directory and environment names
	Def     []byte // the tool's definition as the server sent it
	Args    []byte // argument bytes in fake form
	Table   []byte // keyed digest of the replacement table
	Rule    string
	Scope   string
	Salt    []byte // 32 random bytes, kept by the machine: nobody else can guess short arguments
}

// Digest returns the binding of f as a hexadecimal string. Bytes are bound,
// not a canonical form: two spellings of a number are two different calls.
func Digest(f Fields) string {
	return hex.EncodeToString(hash([]byte("portero binding 1"), []byte(f.Task), []byte(f.Journal), []byte(f.Tool),
		f.Launch, f.Def, hash(f.Salt, f.Args), f.Table, []byte(f.Rule), []byte(f.Scope)))
}

// hash is over the fields with their lengths: bytes cannot move from one to
// the next unseen.
func hash(fields ...[]byte) []byte {
	h := sha256.New()
	for _, field := range fields {
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(field))))
		h.Write(field)
	}
	return h.Sum(nil)
}

// NewSalt returns a fresh salt.
func NewSalt() []byte {
	salt := make([]byte, 32)
	rand.Read(salt)
	return salt
}

// crockford has no letters that look like digits.
var crockford = base32.NewEncoding("0123456789ABCDEFGHJKMNPQRSTVWXYZ").WithPadding(base32.NoPadding)

// NewTask returns a new task id of 128 random bits.
func NewTask() string {
	var b [16]byte
	rand.Read(b[:])
	return "t_" + crockford.EncodeToString(b[:])
}

// Code is the four-letter name of a task that a person can compare between
// two screens.
func Code(id string) string {
	sum := sha256.Sum256([]byte(id))
	return crockford.EncodeToString(sum[:])[:4]
}
