package memory

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// Exported says what an export has written.
type Exported struct{ Sessions, Records int }

// Export writes a session to w as lines of JSON: one for the session, with key,
// head, state and gist, one for each record, with notes and state, oldest first, and
// one that says that this was all. Bytes are base64. [Import] reads it back.
//
// The state and the last record are of one moment; an Edit, a Redact or a Rewind
// while it runs may show in part. The states of the user and the app do not belong
// to the session and are not written, except what records have set in them. A session
// that does not exist is ErrNotFound; errors of w are returned, and what has
// been written then lacks the last line. It reads each record once.
func Export(ctx context.Context, store Store, key Key, w io.Writer) (Exported, error) {
	var done Exported
	err := key.Validate()
	if err == nil {
		err = export(ctx, store, key, w, &done)
	}
	return done, wrap("export", key, err)
}

// ExportAll writes the sessions that query selects to w, one after the other as
// [Export] does, newest first: those of a user, of an app, with a label. A query by
// intent is ErrInvalid. A session that ends or is deleted before its turn is left out.
func ExportAll(ctx context.Context, store Store, query Query, w io.Writer) (Exported, error) {
	var done Exported
	owner := Key{Tenant: query.Tenant, App: query.App, User: query.User}
	if query.Intent != "" {
		return done, wrap("export", owner, fmt.Errorf("%w: a query by intent selects records: export sessions", ErrInvalid))
	}
	for match, err := range store.Find(ctx, query) {
		if err != nil {
			return done, wrap("export", owner, err)
		}
		if err := export(ctx, store, match.Key, w, &done); err != nil && !errors.Is(err, errGone) {
			return done, wrap("export", match.Key, err)
		}
	}
	return done, nil
}

// errGone is that there was no session and nothing was written.
var errGone = fmt.Errorf("no session (%w)", ErrNotFound)

func export(ctx context.Context, store Store, key Key, w io.Writer, done *Exported) error {
	win, err := store.Open(ctx, key, &WindowOptions{Last: 1, Verbatim: true})
	if errors.Is(err, ErrNotFound) {
		return fmt.Errorf("%w: %w", errGone, err)
	}
	if err != nil {
		return err
	}
	if err := writeLine(w, exportLine{Session: newSessionLine(win)}); err != nil {
		return err
	}
	records := 0
	if len(win.Records) > 0 {
		for r, err := range store.Records(ctx, key, &RangeOptions{To: win.Records[0].ID, Notes: true}) {
			if err == nil {
				err = writeLine(w, exportLine{Record: newRecordLine(r)})
			}
			if err != nil {
				return err
			}
			records++
			done.Records++
		}
	}
	if err := writeLine(w, exportLine{End: &endLine{Records: records}}); err != nil {
		return err
	}
	done.Sessions++
	return nil
}

func writeLine(w io.Writer, line exportLine) error {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(line); err != nil {
		return err
	}
	_, err := w.Write(buf.Bytes())
	return err
}
