package dynamomemory

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/genaistore/genaistore/memory"
)

// Delete implements memory.Store.
//
// It first marks the head, which makes the session invisible at once and erases its
// key, then removes the items, and last what names it: the directory item and the
// head. A Delete that was interrupted leaves a session that does not open and is
// still listed, so that a repeated Delete or memory.Forget finds and finishes it.
func (s *Store) Delete(ctx context.Context, key memory.Key) error {
	if err := firstError(ctx.Err(), key.Validate()); err != nil {
		return wrap("delete", key, err)
	}
	return wrap("delete", key, s.delete(ctx, at(key)))
}

func (s *Store) delete(ctx context.Context, p place) error {
	unlock, err := s.lock(ctx, p.pk)
	if err != nil {
		return err
	}
	defer unlock()
	if err := s.pass(ctx, p, nil); err != nil {
		return err
	}
	id, err := s.nextCool(ctx, p)
	if err != nil {
		return err
	}
	s.seen.drop(p.pk)
	e := newExpression()
	e.put(attrDeleted, str(id))
	e.put(attrMoved, str(id))
	e.drop(attrKey)
	_, err = s.modify(ctx, p.pk, skHead, e, "attribute_exists("+e.name(s.names.PartitionKey)+")")
	if _, absent := refused(err); err != nil && !absent {
		return err
	}
	if err := s.erase(ctx, p, id); err != nil {
		return err
	}
	dpk, dsk := p.directory()
	c := newExpression()
	older := "attribute_not_exists(" + c.name(attrEpoch) + ") OR " + c.name(attrEpoch) + "<" + c.value(str(id))
	err = s.remove(ctx, dpk, dsk, &condition{older, c})
	if _, newer := refused(err); err != nil && !newer {
		return err
	}
	for _, sk := range []string{skTail, skHead} {
		if sk == skTail && s.cache == nil {
			continue
		}
		c = newExpression()
		err = s.remove(ctx, p.pk, sk, &condition{c.name(attrMoved) + "=" + c.value(str(id)), c})
		if _, newer := refused(err); err != nil && !newer {
			return err // a head that has moved on is a new session, or another Delete's
		}
	}
	return nil
}

// nextCool issues an id that the tail has.
func (s *Store) nextCool(ctx context.Context, p place) (string, error) {
	for range tries {
		id, err := s.next()
		if err != nil {
			return "", err
		}
		if ok, err := s.cool(ctx, p, id); ok || err != nil {
			return id, err
		}
	}
	return "", fmt.Errorf("%w: the session is written to by others all the time", memory.ErrThrottled)
}

// erase removes all items of a session that are older than the id mark, but for the
// head.
func (s *Store) erase(ctx context.Context, p place, mark string) error {
	q := scan{pk: p.pk, keysOnly: true}
	for {
		items, next, err := s.page(ctx, q)
		if err != nil {
			return err
		}
		var writes []types.WriteRequest
		for _, it := range items {
			gone, err := s.eraseOne(ctx, p, it, mark)
			if err != nil {
				return err
			}
			writes = append(writes, gone...)
		}
		if err := s.writeAll(ctx, writes); err != nil {
			return err
		}
		if q.start = next; next == nil {
			return nil
		}
	}
}

// eraseOne returns the writes that remove an item and can be batched.
func (s *Store) eraseOne(ctx context.Context, p place, it item, mark string) ([]types.WriteRequest, error) {
	switch sk := s.skOf(it); {
	case sk == skHead, sk == skTail && s.cache != nil, sk != skGist && sk != skState && itemID(sk, it) > mark:
		return nil, nil
	case sk == skGist, sk == skState:
		return nil, s.removeOlder(ctx, p, sk, mark)
	}
	if blob := getString(it, attrBlob); blob != "" && s.opts.Blobs != nil {
		if err := s.opts.Blobs.Delete(ctx, blob); err != nil {
			return nil, err
		}
	}
	return []types.WriteRequest{{DeleteRequest: &types.DeleteRequest{Key: s.key(p.pk, s.skOf(it))}}}, nil
}

// itemID is the id of the record that an item belongs to.
func itemID(sk string, it item) string {
	if id := getString(it, attrID); id != "" {
		return id
	}
	rest := sk[min(2, len(sk)):]
	return rest[:min(26, len(rest))]
}

func (s *Store) removeOlder(ctx context.Context, p place, sk, mark string) error {
	c := newExpression()
	err := s.remove(ctx, p.pk, sk, &condition{c.name(attrEpoch) + "<" + c.value(str(mark)), c})
	if _, newer := refused(err); newer {
		return nil
	}
	return err
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
