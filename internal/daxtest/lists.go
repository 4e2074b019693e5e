package daxtest

import (
	"fmt"
	"maps"
	"slices"
	"sync"
)

// attributeLists numbers the lists of names that items have, for all nodes: an item
// is sent as the number of its list and the values in the list's order.
type attributeLists struct {
	mu    sync.Mutex
	lists [][]string
	ids   map[string]int64
}

// emptyList is the list without names, which clients know.
const emptyList = 1

func newAttributeLists() attributeLists {
	return attributeLists{lists: [][]string{nil, {}}, ids: map[string]int64{"[]": emptyList}}
}

func (l *attributeLists) id(names []string) int64 {
	key := fmt.Sprintf("%q", names)
	l.mu.Lock()
	defer l.mu.Unlock()
	id, ok := l.ids[key]
	if !ok {
		id = int64(len(l.lists))
		l.ids[key] = id
		l.lists = append(l.lists, slices.Clone(names))
	}
	return id
}

func (l *attributeLists) names(id int64) ([]string, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if id < emptyList || id >= int64(len(l.lists)) {
		return nil, fmt.Errorf("unknown attribute list %d", id)
	}
	return l.lists[id], nil
}

func (l *attributeLists) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.lists) - 1
}

// encode writes what of an item is not key.
func (l *attributeLists) encode(it item, s schema) ([]byte, error) {
	names := slices.Sorted(maps.Keys(it))
	names = slices.DeleteFunc(names, s.has)
	w := &writer{}
	w.int(l.id(names))
	for _, n := range names {
		if err := w.value(it[n]); err != nil {
			return nil, err
		}
	}
	return w.buf, nil
}

// decode reads a whole item, or its key alone if there is no value.
func (l *attributeLists) decode(s schema, key, value []byte) (item, error) {
	it, err := s.decode(key)
	if err != nil || value == nil {
		return it, err
	}
	r := newBytesReader(value)
	id, err := r.int()
	if err != nil {
		return nil, unexpected(err)
	}
	names, err := l.names(id)
	if err != nil {
		return nil, err
	}
	for _, n := range names {
		if it[n], err = r.value(); err != nil {
			return nil, unexpected(err)
		}
	}
	return it, nil
}
