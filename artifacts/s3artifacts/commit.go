package s3artifacts

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"math/big"
	"time"

	"github.com/genaistore/genaistore/artifacts"
)

const (
	maxRounds  = 1000 // records of others that came first
	maxUnclear = 12   // writes of one record that nobody can tell the end of
	firstPause = 5 * time.Millisecond
	lastPause  = time.Second
)

// errNothing says that a commit has nothing to write.
var errNothing = errors.New("nothing to commit")

// commit adds what plan makes to the log. Plan decides on the fold as it is, and
// again each time somebody else was first; it must not wait and must not keep the
// fold. The error of plan ends it and is returned.
func (s *Store) commit(ctx context.Context, l *ledger, plan func(f *fold) (*entry, error)) (*entry, error) {
	nonce := rand.Text()
	for round := range maxRounds {
		if err := s.again(ctx, l, round); err != nil {
			return nil, err
		}
		e, text, err := l.plan(nonce, plan)
		switch {
		case err != nil && l.isHint():
			continue // what cannot be on an old log may be on the one there is
		case err != nil:
			return e, err
		}
		mine, err := s.write(ctx, l, e, text)
		if err != nil {
			return nil, err
		}
		if mine {
			return e, s.committed(ctx, l, e)
		}
		if err := pause(ctx, round); err != nil {
			return nil, err
		}
	}
	return nil, fmt.Errorf("%w: others were first %d times", artifacts.ErrThrottled, maxRounds)
}

// again reads what is new, but for the first round, which has just been read.
func (s *Store) again(ctx context.Context, l *ledger, round int) error {
	if round == 0 {
		return nil
	}
	return s.refresh(ctx, l)
}

// plan returns the entry that plan makes, and its text.
func (l *ledger) plan(nonce string, plan func(f *fold) (*entry, error)) (e *entry, text []byte, err error) {
	err = l.look(func(f *fold) (err error) {
		if e, err = plan(f); err != nil {
			return err
		}
		e.Nonce, e.Link = nonce, f.link
		text, err = e.encode()
		return err
	})
	return e, text, err
}

// write writes a record, and says whether the one with its number is it. A write
// whose end nobody can tell is looked up: what is there has a nonce.
func (s *Store) write(ctx context.Context, l *ledger, e *entry, text []byte) (mine bool, err error) {
	key := l.base + logKey(e.Record.Seq)
	for try := range maxUnclear {
		_, err = s.put(ctx, key, text, asNew)
		switch {
		case err == nil:
			return true, nil
		case ctx.Err() != nil:
			return false, err
		case s.skip.readback:
			return false, nil
		case isNoBucket(err), errors.Is(err, artifacts.ErrDenied):
			return false, err
		}
		there, gerr := s.entry(ctx, l, e.Record.Seq)
		if gerr != nil {
			return false, gerr
		}
		if there.entry != nil {
			return there.Nonce == e.Nonce, nil
		}
		if perr := pause(ctx, try); perr != nil {
			return false, perr
		}
	}
	return false, err
}

// committed does what may be missing: the hint, and a snapshot now and then.
func (s *Store) committed(ctx context.Context, l *ledger, e *entry) error {
	var condemned []string
	if e.Condemn != nil {
		text, err := s.text(ctx, l, e.Condemn)
		if err != nil {
			return err
		}
		condemned = keys(text)
	}
	if err := l.take(e, condemned); err != nil {
		return err
	}
	var hint, snapshot []byte
	err := l.look(func(f *fold) (err error) {
		if f.log.Last().Seq != e.Record.Seq {
			return nil // whoever is newer says it
		}
		if hint, err = f.seal(inlineLimit); err == nil && e.Record.Seq%s.every == 0 {
			snapshot, err = f.seal(0)
		}
		return err
	})
	if err != nil {
		return err
	}
	// What cannot be written now is written by the next record, or found without.
	if snapshot != nil {
		_, _ = s.put(ctx, l.base+snapKey(e.Record.Seq), snapshot, asJSON)
	}
	if hint != nil {
		_, _ = s.put(ctx, l.base+headKey, hint, asJSON)
	}
	return nil
}

// pause waits a random time that grows with n.
func pause(ctx context.Context, n int) error {
	longest := min(firstPause<<min(n, 10), lastPause)
	jitter, err := rand.Int(rand.Reader, big.NewInt(int64(longest)))
	if err != nil {
		return err
	}
	timer := time.NewTimer(time.Duration(jitter.Int64()) + time.Millisecond)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// Apply implements [artifacts.Store].
func (s *Store) Apply(ctx context.Context, name artifacts.Name, changes ...artifacts.Change) (artifacts.Record, error) {
	r, err := s.apply(ctx, name, changes)
	return r, wrap("apply", name, err)
}

func (s *Store) apply(ctx context.Context, name artifacts.Name, changes []artifacts.Change) (artifacts.Record, error) {
	if err := firstError(ctx.Err(), name.Validate(), artifacts.ValidateChanges(changes...)); err != nil {
		return artifacts.Record{}, err
	}
	l, err := s.current(ctx, name)
	if err != nil {
		return artifacts.Record{}, err
	}
	e, err := s.commit(ctx, l, func(f *fold) (*entry, error) {
		planned, err := f.log.Plan(s.record(rand.Text(), changes), nil)
		if err == nil && planned.Seq == f.log.Last().Seq {
			err = errNothing
		}
		return &entry{Record: planned}, err
	})
	if err != nil && !errors.Is(err, errNothing) {
		return artifacts.Record{}, err
	}
	return copied(e.Record)
}

// copied returns a record that shares no memory with r.
func copied(r artifacts.Record) (artifacts.Record, error) {
	text, err := r.MarshalJSON()
	if err != nil {
		return artifacts.Record{}, err
	}
	var out artifacts.Record
	return out, out.UnmarshalJSON(text)
}

func (s *Store) record(id string, changes []artifacts.Change) artifacts.Record {
	return artifacts.Record{Time: time.Now().Round(0).UTC(), By: s.opts.By, ID: id, Changes: changes}
}

// own returns a record of what this backend keeps for itself.
func (f *fold) own(r artifacts.Record) (artifacts.Record, error) {
	last := f.log.Last()
	r.Seq, r.Prev = last.Seq+1, last.Digest
	sum, err := r.Sum()
	r.Digest = sum
	return r, err
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
