package dynamomemory

import (
	"maps"
	"time"

	"github.com/genaistore/genaistore/memory"
)

func (s *Store) decodeGist(p place, it item, key []byte) (memory.Gist, error) {
	raw, err := s.unseal(it, getBytes(it, attrBody), key, p.pk, skGist)
	if err != nil {
		return memory.Gist{}, err
	}
	d := &decoder{data: raw}
	g := memory.Gist{UpTo: memory.RecordID(d.string()), Text: d.string(), Tokens: int(d.uint())}
	return g, d.end()
}

func (s *Store) gistItem(p place, g memory.Gist, epoch string, key []byte, end time.Time) (item, error) {
	var e encoder
	e.string(string(g.UpTo))
	e.string(g.Text)
	e.uint(uint64(g.Tokens))
	data, attrs, err := s.seal(e, key, p.pk, skGist)
	if err != nil {
		return nil, err
	}
	it := merged(s.key(p.pk, skGist), attrs, item{attrSchema: num(schemaVersion), attrEpoch: str(epoch)})
	maps.Copy(it, item{attrBody: bin(data)})
	s.expireBeside(it, end)
	return it, nil
}
