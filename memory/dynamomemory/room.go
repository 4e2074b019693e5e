package dynamomemory

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/genaistore/genaistore/memory"
)

// A shared state is one item, which may have 400 KB. The state of an Append is in its
// record before it is there, so that room must be made sure of first: others may take
// what is between these bounds meanwhile.
const (
	mostShared = 350 << 10 // what an Append may make of it
	safeShared = 200 << 10 // below this, what this process has seen of it lately is enough
)

// room makes sure that the states of user and app have room for those of the entry. A
// record that is stored already needs none.
func (a *appending) room(ctx context.Context) error {
	user, app := sharedPlaces(a.Key)
	err := firstErr(
		func() error { return a.roomIn(ctx, user, "user", a.body.State.Set.User, a.body.State.Unset.User) },
		func() error { return a.roomIn(ctx, app, "app", a.body.State.Set.App, a.body.State.Unset.App) },
	)
	if !noRoom(err) || a.opts.RequestID == "" {
		return err
	}
	marker, readErr := a.get(ctx, a.pk, requestSK(a.opts.RequestID))
	if readErr != nil || marker == nil {
		return err
	}
	a.full = err
	return nil
}

func (s *Store) roomIn(ctx context.Context, at sharedPlace, whose string, set memory.State, unset []string) error {
	if len(set)+len(unset) == 0 {
		return nil
	}
	const id = "00000000000000000000000000"
	added := cells{}
	added.apply(id, set, unset)
	sizes, more := map[string]int{}, 0
	for k, c := range added {
		raw, err := s.plainCell(c)
		if err != nil {
			return err
		}
		sizes[k] = len(statePrefix) + len(k) + len(raw) + cellOverhead
		more += sizes[k]
	}
	if k := s.seen.get(at.pk); time.Since(k.sized) < bucket && k.size+more < safeShared {
		return nil
	}
	it, err := s.get(ctx, at.pk, at.sk)
	if err != nil {
		return err
	}
	v, err := s.openVault(ctx, at, it)
	if err != nil {
		return err
	}
	s.sized(at, it)
	have := itemSize(it)
	for k := range sizes {
		if old, ok := it[v.attribute(k)]; ok {
			have -= len(v.attribute(k)) + len(bytesOf(old))
		}
	}
	if have+more > mostShared {
		return fmt.Errorf("%w: the state of the %s would have %d bytes as it is stored: at most %d; unset some of its keys", memory.ErrInvalid, whose, have+more, mostShared)
	}
	return nil
}

// cellOverhead is at least what a cell has beside its key and value: the id, and with a
// Cipher what encrypts it and the rest of its name.
const cellOverhead = stateIDLen + 64

// sized remembers how large a shared state is.
func (s *Store) sized(at sharedPlace, it item) {
	s.seen.change(at.pk, func(k *known) { k.size, k.sized = itemSize(it), time.Now() })
}

func itemSize(it item) (n int) {
	for name, v := range it {
		n += len(name) + len(bytesOf(v))
		if s, ok := v.(*types.AttributeValueMemberS); ok {
			n += len(s.Value)
		}
	}
	return n
}

func bytesOf(v types.AttributeValue) []byte {
	if b, ok := v.(*types.AttributeValueMemberB); ok {
		return b.Value
	}
	return nil
}

// noRoom says whether a shared state is too large, which the service tells as a bad
// request.
func noRoom(err error) bool { return errors.Is(err, memory.ErrInvalid) }
