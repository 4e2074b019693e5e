package dynamomemory

import (
	"context"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/genaistore/genaistore/memory"
)

// rewind notes which records go. The head then names their range, which hides all of
// them at once; the items go afterwards.
func (d *draft) rewind(ctx context.Context, to string) error {
	if d.gist.UpTo > memory.RecordID(to) {
		d.gist, d.gistDirty = memory.Gist{}, true
	}
	if d.rewinds && to >= d.rewindTo {
		return nil
	}
	found, err := d.between(ctx, d.place, to, "", d.key)
	if err != nil {
		return err
	}
	for id, r := range found {
		if d.removed[id] != nil {
			continue
		}
		if edited := d.records[id]; edited == nil || !edited.redacted {
			if err := d.keepState(ctx, r); err != nil {
				return err
			}
		}
		d.removed[id] = r
		d.head.until = max(d.head.until, id)
	}
	d.rewinds, d.rewindTo, d.head.rewound = true, to, to
	d.head.rewinding = d.head.until != ""
	return nil
}

// between reads the records after one id and up to another, or to the end.
func (s *Store) between(ctx context.Context, p place, after, upTo string, key []byte) (map[string]*record, error) {
	high := skRecord + upTo
	if upTo == "" {
		high = lastRecord
	}
	items, err := s.all(ctx, scan{pk: p.pk, low: str(skRecord + after), high: str(high)})
	if err != nil {
		return nil, err
	}
	found := map[string]*record{}
	for _, it := range items {
		r, err := s.load(ctx, p, it, key)
		if err != nil {
			return nil, err
		}
		if r.id > after {
			found[r.id] = r
		}
	}
	return found, nil
}

// finishRewind removes the records that a Rewind has hidden, then the range in the
// head. Of one with a request id a tombstone stays, which a replay finds.
func (s *Store) finishRewind(ctx context.Context, p place, h *head, removed map[string]*record) error {
	if removed == nil {
		key, err := s.dataKey(ctx, p, h)
		if err != nil {
			return err
		}
		if removed, err = s.between(ctx, p, h.rewound, h.until, key); err != nil {
			return err
		}
	}
	writes, err := s.rewindNotes(ctx, p, h)
	if err != nil {
		return err
	}
	for _, r := range removed {
		if r.kind != "" {
			continue
		}
		if err := s.dropParts(ctx, p.pk, r.it); err != nil {
			return err
		}
		writes = append(writes, s.rewindOne(p, r))
	}
	if err := s.writeAll(ctx, writes); err != nil {
		return err
	}
	e := newExpression()
	e.drop(attrRewound)
	e.drop(attrUntil)
	c := e.name(attrRewound) + "=" + e.value(str(h.rewound)) + " AND " + e.name(attrUntil) + "=" + e.value(str(h.until))
	_, err = s.modify(ctx, p.pk, skHead, e, c)
	if _, done := refused(err); done {
		return nil
	}
	return err
}

func (s *Store) rewindNotes(ctx context.Context, p place, h *head) (writes []types.WriteRequest, err error) {
	notes, err := s.all(ctx, scan{pk: p.pk, low: str(skNotes + h.rewound), high: str(skNotes + h.until), keysOnly: true})
	for _, it := range notes {
		if s.skOf(it) > skNotes+h.rewound {
			writes = append(writes, types.WriteRequest{DeleteRequest: &types.DeleteRequest{Key: s.key(p.pk, s.skOf(it))}})
		}
	}
	return writes, err
}

func (s *Store) rewindOne(p place, r *record) types.WriteRequest {
	if r.requestID != "" && time.Since(timeOf(r.id)) < tombstones {
		return types.WriteRequest{PutRequest: &types.PutRequest{Item: s.tombstone(p, r.id, rewound, r.version)}}
	}
	return types.WriteRequest{DeleteRequest: &types.DeleteRequest{Key: s.key(p.pk, skRecord+r.id)}}
}
