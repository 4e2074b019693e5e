package dynamomemory

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/genaistore/genaistore/memory"
)

// A shared state is that of a user or of an app: an attribute a key, so that an
// Append changes some of them in one request without reading.
type shared struct {
	cells
	moved string
	vault vault
}

// A vault is the data key of a shared state, zero without a Cipher.
type vault struct{ key, wrapped []byte }

// A sharedPlace is where a shared state is.
type sharedPlace struct {
	name
	memory.Key
}

const (
	stateIDLen = 26
	perUpdate  = 40 // keys in one update, whose expressions DynamoDB bounds
	tombstones = memory.RequestLife + time.Hour
)

// What follows the id in a cell.
const (
	cellGone = iota
	cellPlain
	cellSmall // compressed
	cellSealed
)

func sharedPlaces(key memory.Key) (user, app sharedPlace) {
	return sharedPlace{name{userPK(key), skShared}, key.Owner()}, sharedPlace{name{appPK(key), skShared}, key.Whole()}
}

// openVault returns the vault of the shared state in it.
func (s *Store) openVault(ctx context.Context, at sharedPlace, it item) (vault, error) {
	wrapped := getBytes(it, attrKey)
	if s.opts.Cipher == nil || len(wrapped) == 0 {
		return vault{}, nil
	}
	if k := s.seen.get(at.pk); k.key != nil && k.wrapped == string(wrapped) {
		return vault{k.key, wrapped}, nil
	}
	key, err := s.opts.Cipher.UnwrapKey(ctx, wrapped, s.scope(at.Key))
	if err != nil {
		return vault{}, err
	}
	s.seen.change(at.pk, func(k *known) { k.key, k.wrapped = key, string(wrapped) })
	return vault{key, wrapped}, nil
}

// makeVault is openVault for writers: where the item has no key it gets one.
func (s *Store) makeVault(ctx context.Context, at sharedPlace) (vault, error) {
	if s.opts.Cipher == nil {
		return vault{}, nil
	}
	if k := s.seen.get(at.pk); k.key != nil {
		return vault{k.key, []byte(k.wrapped)}, nil
	}
	it, err := s.get(ctx, at.pk, at.sk)
	if err != nil {
		return vault{}, err
	}
	if len(getBytes(it, attrKey)) == 0 {
		_, wrapped, err := s.opts.Cipher.NewKey(ctx, s.scope(at.Key))
		if err != nil {
			return vault{}, err
		}
		e := newExpression()
		e.putNew(attrKey, attrKey, bin(wrapped))
		e.putNew(attrSchema, attrSchema, num(schemaVersion))
		if it, err = s.modify(ctx, at.pk, at.sk, e, ""); err != nil {
			return vault{}, err
		}
	}
	return s.openVault(ctx, at, it)
}

// attribute is the name under which a cell is stored: with a Cipher one that says
// nothing of the key.
func (v vault) attribute(key string) string {
	if v.key == nil {
		return statePrefix + key
	}
	mac := hmac.New(sha256.New, v.key)
	mac.Write([]byte(key))
	return statePrefix + base64.RawURLEncoding.EncodeToString(mac.Sum(nil)[:16])
}

// cellBytes begins with the id, so that DynamoDB compares cells by it.
func (s *Store) cellBytes(at sharedPlace, v vault, key string, c cell) ([]byte, error) {
	inner, err := s.plainCell(c)
	if err != nil {
		return nil, err
	}
	out := append([]byte{}, c.id...)
	if v.key == nil {
		return append(out, inner...), nil
	}
	var e encoder
	e.string(key)
	data, err := encrypt(append(e, inner...), v.key, s.table+"\x00"+at.pk+"\x00"+c.id)
	return append(append(out, cellSealed), data...), err
}

func (s *Store) plainCell(c cell) ([]byte, error) {
	if c.gone {
		return []byte{cellGone}, nil
	}
	var e encoder
	e.any(c.v)
	if len(e) > 1024 {
		small, err := s.opts.Compressor.Compress(nil, e)
		if err != nil {
			return nil, err
		}
		name := s.opts.Compressor.Name()
		if len(small)+len(name)+1 < len(e) {
			return slices.Concat([]byte{cellSmall, byte(len(name))}, []byte(name), small), nil
		}
	}
	return append([]byte{cellPlain}, e...), nil
}

// decodeCell returns the key too: that of the attribute, or the one sealed with it.
func (s *Store) decodeCell(at sharedPlace, v vault, key string, data []byte) (string, cell, error) {
	if len(data) <= stateIDLen {
		return "", cell{}, fmt.Errorf("%w: a value of a state has %d bytes", memory.ErrCorrupt, len(data))
	}
	c := cell{id: string(data[:stateIDLen])}
	inner := data[stateIDLen:]
	if (inner[0] == cellSealed) != (v.key != nil) {
		return "", cell{}, fmt.Errorf("%w: a value of a state is encrypted and the store has no Cipher, or the other way round", memory.ErrCorrupt)
	}
	if v.key != nil {
		plain, err := decrypt(inner[1:], v.key, s.table+"\x00"+at.pk+"\x00"+c.id)
		if err != nil {
			return "", cell{}, err
		}
		d := &decoder{data: plain}
		if key = d.string(); d.err != nil || len(d.data) == 0 {
			return "", cell{}, fmt.Errorf("%w: a value of a state ends too early", memory.ErrCorrupt)
		}
		inner = d.data
	}
	how, rest := inner[0], inner[1:]
	switch {
	case how == cellGone:
		c.gone = true
		return key, c, nil
	case how == cellSmall && len(rest) > int(rest[0]):
		n := 1 + int(rest[0])
		var err error
		if rest, err = s.unseal(item{attrHow: str(string(rest[1:n]))}, rest[n:], nil, "", ""); err != nil {
			return "", cell{}, err
		}
	case how != cellPlain:
		return "", cell{}, fmt.Errorf("%w: a value of a state is of kind %d", memory.ErrCorrupt, how)
	}
	d := &decoder{data: rest}
	c.v = d.any(0)
	return key, c, d.end()
}

func (s *Store) decodeShared(ctx context.Context, at sharedPlace, it item) (*shared, error) {
	sh := &shared{cells: cells{}, moved: getString(it, attrMoved)}
	var err error
	if sh.vault, err = s.openVault(ctx, at, it); err != nil {
		return nil, err
	}
	for attr, v := range it {
		key, ok := strings.CutPrefix(attr, statePrefix)
		if !ok {
			continue
		}
		b, ok := v.(*types.AttributeValueMemberB)
		if !ok {
			return nil, fmt.Errorf("%w: a value of a state is %T", memory.ErrCorrupt, v)
		}
		key, c, err := s.decodeCell(at, sh.vault, key, b.Value)
		if err != nil {
			return nil, err
		}
		sh.cells[key] = c
	}
	return sh, nil
}

// spread applies the parts of a record for user and app: after the record, a key at
// a time, the greatest id winning.
func (s *Store) spread(ctx context.Context, key memory.Key, id string, d memory.Delta) error {
	user, app := sharedPlaces(key)
	return firstErr(
		func() error { return s.spreadOne(ctx, user, id, d.Set.User, d.Unset.User) },
		func() error { return s.spreadOne(ctx, app, id, d.Set.App, d.Unset.App) },
	)
}

func firstErr(steps ...func() error) error {
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) spreadOne(ctx context.Context, at sharedPlace, id string, set memory.State, unset []string) error {
	if len(set)+len(unset) == 0 {
		return nil
	}
	v, err := s.makeVault(ctx, at)
	if err != nil {
		return err
	}
	c := cells{}
	c.apply(id, set, unset)
	for part := range slices.Chunk(slices.Sorted(maps.Keys(c)), perUpdate) {
		if err := s.spreadPart(ctx, at, v, c, part); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) spreadPart(ctx context.Context, at sharedPlace, v vault, c cells, keys []string) error {
	id := c[keys[0]].id
	for try := range tries {
		e, condition, err := s.spreading(at, v, c, keys)
		if err != nil {
			return err
		}
		it, err := s.modify(ctx, at.pk, at.sk, e, condition)
		old, lost := refused(err)
		if !lost {
			if err == nil {
				s.sized(at, it)
			}
			return err
		}
		there, err := s.decodeShared(ctx, at, old)
		if err != nil {
			return err
		}
		v = there.vault
		keys = slices.DeleteFunc(slices.Clone(keys), func(k string) bool { return there.cells[k].id >= id })
		if len(keys) == 0 {
			return nil
		}
		if err := wait(ctx, try/4); err != nil {
			return err
		}
	}
	return fmt.Errorf("%w: a state that changes all the time", memory.ErrThrottled)
}

// spreading is the update that sets keys of c, and the condition that none of them
// has a later value.
func (s *Store) spreading(at sharedPlace, v vault, c cells, keys []string) (*expression, string, error) {
	e := newExpression()
	e.put(attrMoved, str(c[keys[0]].id))
	e.putNew(attrSchema, attrSchema, num(schemaVersion))
	e.drop(s.names.TTL)
	var conditions []string
	for _, k := range keys {
		raw, err := s.cellBytes(at, v, k, c[k])
		if err != nil {
			return nil, "", err
		}
		attr, value := e.name(v.attribute(k)), e.value(bin(raw))
		e.set = append(e.set, attr+"="+value)
		conditions = append(conditions, "(attribute_not_exists("+attr+") OR "+attr+"<"+value+")")
	}
	if v.wrapped != nil {
		e.putNew(attrKey, attrKey, bin(v.wrapped))
		attr := e.name(attrKey)
		conditions = append(conditions, "(attribute_not_exists("+attr+") OR "+attr+"="+e.value(bin(v.wrapped))+")")
	}
	return e, strings.Join(conditions, " AND "), nil
}

// readShared reads shared states in one request.
func (s *Store) readShared(ctx context.Context, places ...sharedPlace) (map[name]*shared, error) {
	var names []name
	for _, at := range places {
		names = append(names, at.name)
	}
	items, err := s.getAll(ctx, names, false)
	if err != nil {
		return nil, err
	}
	out := map[name]*shared{}
	for _, at := range places {
		sh, err := s.decodeShared(ctx, at, items[at.name])
		if err != nil {
			return nil, err
		}
		s.observe(sh.moved)
		s.observe(sh.latest())
		s.sized(at, items[at.name])
		out[at.name] = sh
	}
	return out, nil
}

// sharedItem is the whole item of a shared state after an Update, written with the
// condition that nobody else has changed it.
func (s *Store) sharedItem(at sharedPlace, sh *shared, id string) (item, error) {
	it := merged(s.key(at.pk, at.sk), item{attrSchema: num(schemaVersion), attrMoved: str(id)})
	if sh.vault.wrapped != nil {
		it[attrKey] = bin(sh.vault.wrapped)
	}
	alive := false
	for k, c := range sh.cells {
		if c.gone && time.Since(timeOf(c.id)) > tombstones {
			continue
		}
		raw, err := s.cellBytes(at, sh.vault, k, c)
		if err != nil {
			return nil, err
		}
		it[sh.vault.attribute(k)] = bin(raw)
		alive = alive || !c.gone
	}
	if !alive {
		it[s.names.TTL] = num(time.Now().Add(tombstones).Unix()) // the names of what was there go too
	}
	return it, nil
}

var errAgain = errors.New("something has changed meanwhile")
