package memory

import (
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// MaxKeyPart is the most bytes one part of a [Key] may have.
const MaxKeyPart = 256

// A Key names a session. Tenant and App may be empty, which names the default
// tenant and the default app; User and Session may not. A key without Session
// names a user, one without User and Session an app, where a method says that
// it takes those.
//
// Each part is at most [MaxKeyPart] bytes of UTF-8 without control characters.
type Key struct {
	Tenant, App, User, Session string
}

// Owner returns the key of the user who owns the session.
func (k Key) Owner() Key { return Key{Tenant: k.Tenant, App: k.App, User: k.User} }

// Whole returns the key of the app.
func (k Key) Whole() Key { return Key{Tenant: k.Tenant, App: k.App} }

// String returns the key in the form tenant/app/user/session, for messages.
// Two keys may have one string.
func (k Key) String() string {
	return strings.TrimRight(strings.Join([]string{k.Tenant, k.App, k.User, k.Session}, "/"), "/")
}

// Validate reports an error that matches [ErrInvalid] unless k names a session.
func (k Key) Validate() error {
	if k.Session == "" {
		return fmt.Errorf("%w: key %q names no session", ErrInvalid, k)
	}
	return k.ValidateScope()
}

// ValidateScope is Validate for the methods that also take the key of a user or
// of an app.
func (k Key) ValidateScope() error {
	if k.User == "" && k.Session != "" {
		return fmt.Errorf("%w: key %q has a session and no user", ErrInvalid, k)
	}
	for _, part := range []string{k.Tenant, k.App, k.User, k.Session} {
		if err := checkName("key part", part, MaxKeyPart); err != nil {
			return err
		}
	}
	return nil
}

// checkName checks a short string that becomes part of a key or an index.
func checkName(what, s string, most int) error {
	if len(s) > most || !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl) {
		return fmt.Errorf("%w: %s %.60q: at most %d bytes of UTF-8 without control characters", ErrInvalid, what, s, most)
	}
	return nil
}

func checkLabels(labels map[string]string) error {
	if len(labels) > MaxLabels {
		return fmt.Errorf("%w: %d labels: at most %d", ErrInvalid, len(labels), MaxLabels)
	}
	for k, v := range labels {
		if k == "" {
			return fmt.Errorf("%w: a label without a key", ErrInvalid)
		}
		if err := checkName("label key", k, MaxKeyPart); err != nil {
			return err
		}
		if err := checkText("label "+k, v, MaxLabelValue); err != nil {
			return err
		}
	}
	return nil
}

// checkTime keeps times within what RFC 3339 can write.
func checkTime(what string, t time.Time) error {
	if year := t.UTC().Year(); year < 1 || year > 9999 {
		return fmt.Errorf("%w: %s in the year %d: from 1 to 9999", ErrInvalid, what, year)
	}
	return nil
}

func checkText(what, s string, most int) error {
	if len(s) > most || !utf8.ValidString(s) {
		return fmt.Errorf("%w: %s: at most %d bytes of UTF-8, not %d", ErrInvalid, what, most, len(s))
	}
	return nil
}
