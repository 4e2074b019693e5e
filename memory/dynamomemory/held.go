package dynamomemory

import (
	"slices"
	"time"

	"github.com/genaistore/genaistore/internal/hlc"
	"github.com/genaistore/genaistore/memory"
)

// overlap is how far before the end of an earlier window records are read again: a
// write takes that long, and so may appear below what the window has.
const overlap = 10 * time.Second

// heldFrom returns the sort key from which on records have to be read beside an
// earlier window, or "" where that is of no use.
func (v *view) heldFrom(w *memory.Window, lowest string) string {
	if w == nil || w.Key != v.Key || len(w.Records) == 0 {
		return ""
	}
	last := timeOf(string(w.Records[len(w.Records)-1].ID))
	if last.IsZero() {
		return ""
	}
	return max(lowest, skRecord+hlc.Floor(last.Add(-overlap)).String())
}

// older goes on where all records since the overlap have been read: with those of the
// earlier window, or else where the next page begins, which is nil if there is none.
func (v *view) older(w *memory.Window, from, lowest string, want int) (item, error) {
	complete, err := v.reuse(w, from, want)
	if complete || err != nil || skRecord+v.oldest <= lowest {
		return nil, err
	}
	return v.Store.key(v.pk, skRecord+v.oldest), nil
}

// reuse takes the records before from out of an earlier window, if none of them can
// have changed since. It says whether there are no others.
func (v *view) reuse(w *memory.Window, from string, want int) (complete bool, err error) {
	v.oldest = from[len(skRecord):]
	if v.head == nil || !v.head.created.Equal(w.Head.Created) || v.head.rewinding ||
		w.Head.Version > v.head.version || v.head.edited > w.Head.Version || string(w.Records[0].ID) <= v.head.floor {
		return false, nil
	}
	lowest := v.lowest(v.now)[len(skRecord):] // nothing older has shown to begin with
	for _, r := range slices.Backward(w.Records) {
		id := string(r.ID)
		if id >= from[len(skRecord):] {
			continue // it was read again
		}
		if id < lowest {
			return true, nil
		}
		entry, err := r.Normal()
		if err != nil {
			return false, err
		}
		v.records = append(v.records, &record{id: id, body: body{Entry: entry, requestID: r.RequestID, redacted: r.Redacted, edited: r.Edited}})
		v.oldest = id
	}
	if !w.Earlier {
		return true, nil
	}
	if len(v.records) == want-1 && v.oldest == string(w.Records[0].ID) {
		// The window needs one more record only to see whether a turn is split, which
		// the earlier one knew of its own first record.
		before := &record{}
		if w.Split {
			before.Turn = w.Records[0].Turn
		}
		v.records = append(v.records, before)
	}
	return false, nil
}
