package memory

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"time"
)

// MaxCountDays is the most days that [CountIntents] counts: each costs requests.
const MaxCountDays = 366

// An IntentCount is how many records of one day have an intent.
type IntentCount struct {
	Day     time.Time // 00:00 UTC
	Intent  string
	Records int
}

// CountIntents yields, for each day in UTC from query.Since to query.Until, which is
// now if it is zero, and each of intents, how many records were annotated with it: days
// oldest first, intents in the order given, zeros too, so that a table has no gaps. The
// first and the last day are counted as far as the query includes them.
//
// The query is of an app or a user, needs Since, and has no Label, Intent and Limit; it
// spans at most [MaxCountDays]. Anything else is ErrInvalid, as is an intent that is
// empty or there twice. Counts may lag as [Store.Find] by intent does, and a record that
// is annotated while the loop runs may count or not.
//
// It is one Find for each day and intent, which reads one entry of the index for each
// record counted and no content. An error is the last thing it yields.
func CountIntents(ctx context.Context, store Store, query Query, intents ...string) iter.Seq2[IntentCount, error] {
	owner := Key{Tenant: query.Tenant, App: query.App, User: query.User}
	return func(yield func(IntentCount, error) bool) {
		q := query
		if q.Until.IsZero() {
			q.Until = time.Now()
		}
		if err := checkCount(q, intents); err != nil {
			yield(IntentCount{}, wrap("count intents", owner, err))
			return
		}
		for part := range days(q, intents) {
			n, err := count(store.Find(ctx, part))
			if err != nil {
				yield(IntentCount{}, wrap("count intents", owner, err))
				return
			}
			if !yield(IntentCount{Day: dayOf(part.Since), Intent: part.Intent, Records: n}, nil) {
				return
			}
		}
	}
}

// days yields the parts of q: one for each day and intent.
func days(q Query, intents []string) iter.Seq[Query] {
	return func(yield func(Query) bool) {
		if !q.Since.Before(q.Until) {
			return
		}
		for day := dayOf(q.Since); day.Before(q.Until); day = day.AddDate(0, 0, 1) {
			part := q
			part.Since, part.Until = latest(q.Since, day), earliest(q.Until, day.AddDate(0, 0, 1))
			for _, part.Intent = range intents {
				if !yield(part) {
					return
				}
			}
		}
	}
}

func checkCount(q Query, intents []string) error {
	switch {
	case q.Intent != "" || q.Label != Label{} || q.Limit != 0:
		return fmt.Errorf("%w: the query of a count has no Intent, Label or Limit", ErrInvalid)
	case len(intents) == 0:
		return fmt.Errorf("%w: a count needs the intents to count", ErrInvalid)
	case q.Since.IsZero():
		return fmt.Errorf("%w: a count needs Since, which bounds the days it reads", ErrInvalid)
	case q.Until.After(dayOf(q.Since).AddDate(0, 0, MaxCountDays)):
		return fmt.Errorf("%w: a count over more than %d days", ErrInvalid, MaxCountDays)
	}
	seen := map[string]bool{}
	for _, intent := range intents {
		if intent == "" || seen[intent] {
			return fmt.Errorf("%w: intent %.60q is empty or there twice", ErrInvalid, intent)
		}
		seen[intent] = true
		if err := checkName("intent", intent, MaxKeyPart); err != nil {
			return err
		}
	}
	return cmp.Or(checkTime("since", q.Since), checkTime("until", q.Until), q.Validate())
}

func count(matches iter.Seq2[Match, error]) (n int, err error) {
	for _, err := range matches {
		if err != nil {
			return 0, err
		}
		n++
	}
	return n, nil
}

func dayOf(t time.Time) time.Time {
	year, month, day := t.UTC().Date()
	return time.Date(year, month, day, 0, 0, 0, 0, time.UTC)
}

func latest(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

func earliest(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
