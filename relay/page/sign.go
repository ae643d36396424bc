package page

import (
	"errors"
	"net/http"
	"strconv"
	"time"

	"portero/relay/desk"
)

// sessionLife is how long a sign-in lasts.
const sessionLife = 12 * time.Hour

const newLink = "A link works once, for a short time. To get a new one, run portero-relay sign-in on the relay's computer."

// stranger answers whoever is not signed in, the same for every address.
func (p *Page) stranger(w http.ResponseWriter) {
	w.Header().Set("WWW-Authenticate", `Cookie realm="portero"`)
	p.render(w, http.StatusUnauthorized, "stranger", p.frame("Not signed in"))
}

// offer shows the button that signs in. Programs that fetch links to preview
// them end here, with the secret still good.
func (p *Page) offer(w http.ResponseWriter, r *http.Request) {
	secret := r.URL.Query().Get("t")
	if secret == "" || len(secret) > 128 {
		p.say(w, http.StatusBadRequest, "This link is not complete", newLink)
		return
	}
	p.render(w, http.StatusOK, "sign-in", struct {
		frame
		Secret string
	}{p.frame("Sign in"), secret})
}

func (p *Page) signIn(w http.ResponseWriter, r *http.Request) {
	from := origin(r.RemoteAddr)
	if wait := p.tries.take(from, time.Now()); wait > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(wait/time.Second)+1))
		p.say(w, http.StatusTooManyRequests, "Too many tries", "Wait a minute, then open the link again. It was not used up.")
		return
	}
	if !p.form(w, r) {
		return
	}
	secret, err := p.Desk.Signin(r.Context(), r.PostForm.Get("t"), sessionLife)
	if errors.Is(err, desk.ErrSignin) {
		p.Logger.Warn("sign-in refused: link used up, too old or wrong", "from", from)
		p.say(w, http.StatusUnauthorized, "This link is used up or too old", newLink)
		return
	}
	if err != nil {
		p.broken(w, "sign in", err)
		return
	}
	p.Logger.Info("signed in to the approval page", "from", from)
	p.setCookie(w, secret, int(sessionLife/time.Second))
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

func (p *Page) signOut(w http.ResponseWriter, r *http.Request, s session) {
	if err := p.Desk.Signout(r.Context(), s.secret); err != nil {
		p.broken(w, "sign out", err)
		return
	}
	p.setCookie(w, "", -1)
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

func (p *Page) setCookie(w http.ResponseWriter, value string, maxAge int) {
	http.SetCookie(w, &http.Cookie{Name: p.cookie, Value: value, Path: "/", MaxAge: maxAge,
		HttpOnly: true, Secure: p.Secure, SameSite: http.SameSiteStrictMode})
}
