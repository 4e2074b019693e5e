package dynamomemory

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/genaistore/genaistore/memory"
)

// The kinds of tombstone, which keep the place of a record. Readers pass them over.
const (
	fenced  = "f" // the Append goes on under another id
	rewound = "g" // a Rewind has removed the record; its request id is remembered
)

// A record is an item E#.
type record struct {
	body
	id   string
	it   item
	kind string // of a tombstone, or empty
}

// load decodes the item of a record.
func (s *Store) load(ctx context.Context, p place, it item, key []byte) (*record, error) {
	r := &record{id: s.skOf(it)[len(skRecord):], it: it, kind: getString(it, attrKind)}
	if r.kind != "" {
		return r, nil
	}
	var err error
	if r.body, err = s.openBody(ctx, p.pk, it, key); err != nil {
		return nil, fmt.Errorf("record %q: %w", r.id, err)
	}
	return r, nil
}

func (r *record) memory() memory.Record {
	return memory.Record{
		ID: memory.RecordID(r.id), Time: timeOf(r.id), RequestID: r.requestID, Entry: r.Entry, Redacted: r.redacted, Edited: r.edited,
	}
}

func (r *record) hasState() bool {
	return r.kind == "" && len(r.State.Set.Session)+len(r.State.Unset.Session) > 0
}

func (r *record) hasShared() bool {
	return r.kind == "" && len(r.State.Set.User)+len(r.State.Unset.User)+len(r.State.Set.App)+len(r.State.Unset.App) > 0
}

// expired says whether the end of an item's life has come, though DynamoDB may still
// have it.
func (s *Store) expired(it item, now time.Time) bool {
	exp := getInt(it, s.names.TTL)
	return exp != 0 && now.Unix() >= exp
}

// recordItem is the item of a record without its body. One with state is kept a day
// longer than it shows, see view.state.
func (s *Store) recordItem(p place, id string, b body) item {
	it := s.key(p.pk, skRecord+id)
	it[attrSchema] = num(schemaVersion)
	exp := s.expiry(timeOf(id))
	if exp > 0 && len(b.State.Set.Session)+len(b.State.Unset.Session) > 0 {
		exp += slack
	}
	if exp > 0 {
		it[s.names.TTL] = num(exp)
	}
	return it
}

func (s *Store) tombstone(p place, id, kind string, version int64) item {
	it := s.key(p.pk, skRecord+id)
	it[attrSchema], it[attrKind] = num(schemaVersion), str(kind)
	it[s.names.TTL] = num(timeOf(id).Add(tombstones).Unix())
	if version != 0 {
		it[attrVersion] = num(version)
	}
	return it
}

// notesItem is the item A# of a record.
func (s *Store) notesItem(p place, id string, n memory.Notes) item {
	it := s.key(p.pk, skNotes+id)
	it[attrSchema] = num(schemaVersion)
	if exp := s.expiry(timeOf(id)); exp > 0 {
		it[s.names.TTL] = num(exp)
	}
	if n.Intent != "" {
		it[s.names.IntentKey] = str(intentPK(p.Key, n.Intent, timeOf(id), intentShard(p)))
		it[s.names.IntentSort] = str(id)
		it[attrIntent] = str(n.Intent)
	}
	if n.Sentiment != nil {
		it[s.names.Sentiment] = &types.AttributeValueMemberN{Value: strconv.FormatFloat(*n.Sentiment, 'g', -1, 64)}
	}
	for attr, v := range map[string]string{attrLanguage: n.Language, attrModel: n.Model} {
		if v != "" {
			it[attr] = str(v)
		}
	}
	if n.Labels != nil {
		it[attrLabels] = strMap(n.Labels)
	}
	if long(p.Key) {
		it[attrNames] = strs([]string{p.Tenant, p.App, p.User, p.Session})
	}
	return it
}

func (s *Store) decodeNotes(it item) (memory.Notes, error) {
	n := memory.Notes{Intent: getString(it, attrIntent), Language: getString(it, attrLanguage), Model: getString(it, attrModel)}
	if _, ok := it[attrLabels]; ok {
		n.Labels = getMap(it, attrLabels)
	}
	if v, ok := it[s.names.Sentiment].(*types.AttributeValueMemberN); ok {
		f, err := strconv.ParseFloat(v.Value, 64)
		if err != nil {
			return n, fmt.Errorf("%w: a sentiment: %w", memory.ErrCorrupt, err)
		}
		n.Sentiment = &f
	}
	return n, nil
}

// annotate reads the notes of records, which are in the order of their ids.
func (s *Store) annotate(ctx context.Context, p place, records []memory.Record) error {
	if len(records) == 0 {
		return nil
	}
	first, last := records[0].ID, records[len(records)-1].ID
	items, err := s.all(ctx, scan{pk: p.pk, low: str(skNotes + string(min(first, last))), high: str(skNotes + string(max(first, last)))})
	if err != nil {
		return err
	}
	notes := map[memory.RecordID]memory.Notes{}
	for _, it := range items {
		if notes[memory.RecordID(s.skOf(it)[len(skNotes):])], err = s.decodeNotes(it); err != nil {
			return err
		}
	}
	for i := range records {
		records[i].Notes = notes[records[i].ID]
	}
	return nil
}
