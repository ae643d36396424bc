package desk

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"

	"portero/shared/db"
	"portero/shared/task"
)

// Verdict is what came of a press.
type Verdict struct {
	Task Task
	// Changed is true when this press decided. Otherwise Refusal says why not
	// in words for the person who pressed; Task shows how it stands.
	Changed bool
	Refusal string
}

// Press decides a pending task. by names the person and the channel.
func (d *Desk) Press(ctx context.Context, id string, approve bool, by string) (v Verdict, err error) {
	err = d.db.Change(ctx, func(tx *db.Tx) error {
		v, err = press(tx, id, approve, by)
		return err
	})
	if err != nil {
		return Verdict{}, err // what was not written down was not decided
	}
	return v, nil
}

// CardPress is a press of a button on a Telegram card.
type CardPress struct {
	Update  int // update that carries the press
	Nonce   string
	Approve bool
	By      string
	Chat    int64
	Message int
}

// PressCard decides the task that the card of p.Nonce shows, and confirms the
// update in the same commit. The card must be the one that was sent to that
// chat: a button copied to another message does nothing (ErrNoCard).
func (d *Desk) PressCard(ctx context.Context, p CardPress) (v Verdict, err error) {
	err = d.db.Change(ctx, func(tx *db.Tx) error {
		if err := confirm(tx, p.Update); err != nil {
			return err
		}
		var id string
		err := tx.QueryRow("SELECT task FROM cards WHERE nonce = ? AND chat = ?", p.Nonce, p.Chat).Scan(&id)
		if errors.Is(err, sql.ErrNoRows) {
			v = Verdict{Refusal: ErrNoCard.Error()}
			return nil
		} else if err != nil {
			return err
		}
		// A crash between sending a card and noting its message number leads
		// to a second card with the same nonce. Both are genuine; the one
		// that was pressed is the one to edit.
		if _, err := tx.Exec("UPDATE cards SET message = ? WHERE nonce = ?", p.Message, p.Nonce); err != nil {
			return err
		}
		v, err = press(tx, id, p.Approve, p.By)
		return err
	})
	switch {
	case err != nil:
		return Verdict{}, err
	case v.Refusal == ErrNoCard.Error():
		return v, ErrNoCard
	}
	return v, nil
}

func press(tx *db.Tx, id string, approve bool, by string) (Verdict, error) {
	t, err := find(tx, id)
	if err != nil {
		return Verdict{}, err
	}
	if t.State != task.Pending {
		// First press wins; the same button again is not a new decision.
		return Verdict{Task: t, Refusal: "it is already " + t.State.Status()}, nil
	}
	kind := task.Deny
	if approve {
		kind = task.Approve
	}
	step, err := move(tx, &t, task.Event{Kind: kind}, by, func(t *Task) { t.By, t.Decided = by, tx.Now })
	if se := (*task.StateError)(nil); errors.As(err, &se) {
		return Verdict{Task: t, Refusal: se.Error()}, nil
	}
	return Verdict{Task: t, Changed: step.Changed}, err
}

// ExpireDue ends the tasks whose time is over and returns how many.
func (d *Desk) ExpireDue(ctx context.Context) (n int, err error) {
	const over = "WHERE state IN ('pending','approved') AND deadline <= ?"
	var any bool
	err = d.db.Read(ctx, func(tx *db.Tx) error {
		return tx.QueryRow("SELECT EXISTS(SELECT 1 FROM tasks "+over+")", db.Millis(tx.Now)).Scan(&any)
	})
	if err != nil || !any {
		return 0, err // the usual case takes no write lock
	}
	err = d.db.Change(ctx, func(tx *db.Tx) error {
		due, err := list(tx, over, db.Millis(tx.Now))
		if err != nil {
			return err
		}
		for _, t := range due {
			reason := "nobody answered in time"
			if t.State == task.Approved {
				reason = "approved, but no process of the machine ran it in time; nothing ran"
			}
			if _, err := move(tx, &t, task.Event{Kind: task.Expire}, "clock", func(t *Task) { t.Reason = reason }); err != nil {
				return err
			}
		}
		n = len(due)
		return nil
	})
	return n, err
}

// Card is one Telegram message about one task.
type Card struct {
	Nonce   string // callback data refers to the card by this, 26 letters
	Chat    int64
	Message int    // 0 until it has been sent
	Shown   string // status the message shows (task.State.Status)
	Task    Task
}

// CardsToSend returns the pending tasks that have no message in chat yet,
// oldest first, and gives each its card first: the nonce is on disk before
// anyone can see the button.
func (d *Desk) CardsToSend(ctx context.Context, chat int64, limit int) (cards []Card, err error) {
	err = d.db.Write(ctx, func(tx *db.Tx) error {
		tasks, err := list(tx, `WHERE state = 'pending' AND id NOT IN (SELECT task FROM cards WHERE chat = ? AND message <> 0)
		 ORDER BY rev LIMIT ?`, chat, limit)
		if err != nil {
			return err
		}
		for _, t := range tasks {
			c := Card{Chat: chat, Task: t}
			err := tx.QueryRow(`INSERT INTO cards(nonce, task, chat) VALUES(?,?,?)
			 ON CONFLICT(task, chat) DO UPDATE SET task = task RETURNING nonce`, rand.Text(), t.ID, chat).Scan(&c.Nonce)
			if err != nil {
				return err
			}
			cards = append(cards, c)
		}
		return nil
	})
	return cards, err
}

// CardSent records the message that a card became, and the status it shows. A
// card that was pressed meanwhile, in an earlier copy, stays that copy.
func (d *Desk) CardSent(ctx context.Context, nonce string, message int, shown string) error {
	return d.db.Write(ctx, func(tx *db.Tx) error {
		_, err := tx.Exec("UPDATE cards SET message = ?, shown = ? WHERE nonce = ? AND message = 0", message, shown, nonce)
		return err
	})
}

// CardsToEdit returns the cards that do not show the status of their task.
func (d *Desk) CardsToEdit(ctx context.Context, limit int) (cards []Card, err error) {
	err = d.db.Read(ctx, func(tx *db.Tx) error {
		cards, err = db.All(tx, scanCard, `SELECT nonce, chat, message, shown, task FROM cards JOIN tasks ON tasks.id = task
		 WHERE message <> 0 AND shown <> status ORDER BY tasks.rev LIMIT ?`, limit)
		if err != nil {
			return err
		}
		for i := range cards {
			if cards[i].Task, err = find(tx, cards[i].Task.ID); err != nil {
				return err
			}
		}
		return nil
	})
	return cards, err
}

func scanCard(row db.Row) (c Card, err error) {
	err = row.Scan(&c.Nonce, &c.Chat, &c.Message, &c.Shown, &c.Task.ID)
	return c, err
}

// CardShows records that a card now shows status. It is also how a card that
// cannot be edited any more (deleted, chat gone) is given up.
func (d *Desk) CardShows(ctx context.Context, nonce, status string) error {
	return d.db.Write(ctx, func(tx *db.Tx) error {
		_, err := tx.Exec("UPDATE cards SET shown = ? WHERE nonce = ?", status, nonce)
		return err
	})
}
