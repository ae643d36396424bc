package botapi

import (
	"encoding/json"
	"slices"
	"time"
)

type update struct {
	id     int
	kind   string // "message", "callback_query", ...
	fields map[string]any
	at     time.Time
	again  bool // redelivered: the offset does not confirm it
	given  bool
}

// poll is the one getUpdates that may be under way.
type poll struct{ ended chan struct{} }

func (s *Server) getUpdates(r request) (any, *fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.webhook != "" {
		return nil, &fault{code: 409, description: "Conflict: can't use getUpdates method while webhook is active; use deleteWebhook to delete the webhook first"}
	}
	if s.poll != nil {
		close(s.poll.ended)
	}
	me := &poll{ended: make(chan struct{})}
	s.poll = me
	defer func() {
		if s.poll == me {
			s.poll = nil
		}
	}()

	s.confirm(int(r.int("offset")))
	s.notify()
	var allowed []string
	if list := r.params.Get("allowed_updates"); list != "" {
		if err := json.Unmarshal([]byte(list), &allowed); err != nil {
			return nil, bad("can't parse allowed updates")
		}
	}
	limit := int(r.int("limit"))
	if limit < 1 || limit > 100 {
		limit = 100
	}
	// The real server lets nobody wait longer than 50 s.
	timeout := time.NewTimer(min(time.Duration(r.int("timeout"))*time.Second, 50*time.Second))
	defer timeout.Stop()
	for {
		if batch := s.batch(allowed, limit); len(batch) > 0 || r.int("timeout") <= 0 {
			return batch, nil
		}
		changed := s.changed
		s.mu.Unlock()
		over := false
		select {
		case <-changed:
		case <-timeout.C:
			over = true
		case <-r.done:
			over = true
		case <-s.done:
			over = true
		case <-me.ended:
		}
		s.mu.Lock()
		select {
		case <-me.ended:
			return nil, &fault{code: 409, description: "Conflict: terminated by other getUpdates request; make sure that only one bot instance is running"}
		default:
		}
		if over {
			return []any{}, nil
		}
	}
}

// confirm drops what the offset confirms. An offset beyond the queue's end, as
// after a renumbering, confirms nothing.
func (s *Server) confirm(offset int) {
	if offset > s.nextUpdate {
		return
	}
	if offset < 0 {
		s.updates = s.updates[max(0, len(s.updates)+offset):]
		return
	}
	s.updates = slices.DeleteFunc(s.updates, func(u *update) bool {
		if u.again {
			return u.given // leaves with the first poll after its delivery
		}
		return u.id < offset
	})
}

// batch returns what a poll would get now.
func (s *Server) batch(allowed []string, limit int) []map[string]any {
	all := []map[string]any{}
	for _, u := range s.updates {
		stale := u.kind == "callback_query" && time.Since(u.at) > s.callbackTTL
		if stale || len(allowed) > 0 && !slices.Contains(allowed, u.kind) || len(all) == limit {
			continue
		}
		u.given = true
		all = append(all, map[string]any{"update_id": u.id, u.kind: u.fields})
	}
	return all
}

// push queues an update. s.mu is held.
func (s *Server) push(kind string, fields map[string]any) int {
	id := s.nextUpdate
	s.nextUpdate++
	u := &update{id: id, kind: kind, fields: fields, at: time.Now()}
	s.history[id] = u
	s.updates = append(s.updates, u)
	s.notify()
	return id
}
