package awsfake

import (
	"encoding/xml"
	"net/http"
	"slices"
	"strings"
	"time"
)

// smallest is the least size of an object that lifecycle rules move, unless their
// filter names sizes.
const smallest = 128 << 10

const smallestHeader = "X-Amz-Transition-Default-Minimum-Object-Size"

type lifecycleRule struct {
	ID, Status string
	Prefix     string // of old rules
	Filter     struct {
		lifecycleFilter
		And lifecycleFilter
	}
	Transition           []transition
	NoncurrentTransition []transition `xml:"NoncurrentVersionTransition"`
	Expiration           *struct{ Days int }
	Noncurrent           *struct{ NoncurrentDays int }      `xml:"NoncurrentVersionExpiration"`
	Abort                *struct{ DaysAfterInitiation int } `xml:"AbortIncompleteMultipartUpload"`
}

type lifecycleFilter struct {
	Prefix                string
	Tag                   []tag
	ObjectSizeGreaterThan *int
	ObjectSizeLessThan    *int
}

type transition struct {
	Days           int
	NoncurrentDays int
	StorageClass   string
}

// rules reads and checks a lifecycle configuration.
func rules(data []byte, directory bool) ([]lifecycleRule, error) {
	var in struct {
		Rule []lifecycleRule
	}
	if err := xml.Unmarshal(data, &in); err != nil {
		return nil, &failure{http.StatusBadRequest, "MalformedXML", err.Error()}
	}
	for _, rule := range in.Rule {
		moves := slices.Concat(rule.Transition, rule.NoncurrentTransition)
		if directory && (len(moves) > 0 || rule.Noncurrent != nil || len(rule.Filter.Tag)+len(rule.Filter.And.Tag) > 0) {
			return nil, &failure{http.StatusBadRequest, "InvalidRequest", "a directory bucket has rules that expire objects and abort uploads, and no tags"}
		}
		for _, move := range moves {
			switch {
			case move.StorageClass == standard || !slices.Contains(classes, move.StorageClass):
				return nil, &failure{http.StatusBadRequest, "MalformedXML", "StorageClass " + move.StorageClass}
			case strings.HasSuffix(move.StorageClass, "_IA") && move.Days+move.NoncurrentDays < 30:
				return nil, &failure{http.StatusBadRequest, "InvalidArgument", "'Days' in Transition action must be greater than or equal to 30 for storageClass '" + move.StorageClass + "'"}
			}
		}
	}
	return in.Rule, nil
}

// covers says whether a rule is for an object.
func (rule *lifecycleRule) covers(key string, o *object) bool {
	if rule.Status != "Enabled" || !strings.HasPrefix(key, rule.Prefix) {
		return false
	}
	for _, f := range []lifecycleFilter{rule.Filter.lifecycleFilter, rule.Filter.And} {
		if !strings.HasPrefix(key, f.Prefix) ||
			f.ObjectSizeGreaterThan != nil && len(o.data) <= *f.ObjectSizeGreaterThan || f.ObjectSizeLessThan != nil && len(o.data) >= *f.ObjectSizeLessThan ||
			slices.ContainsFunc(f.Tag, func(t tag) bool { value, is := o.tags[t.Key]; return !is || value != t.Value }) {
			return false
		}
	}
	return true
}

func (rule *lifecycleRule) sized() bool {
	return rule.Filter.ObjectSizeGreaterThan != nil || rule.Filter.And.ObjectSizeGreaterThan != nil
}

// age does to a bucket what time has done to it: S3 looks at the end of each day
// (UTC) which rules are due, and archives what Intelligent-Tiering has not seen
// read for long.
func (f *S3) age(b *bucket) {
	now := f.now()
	today := now.Truncate(24 * time.Hour)
	if !today.After(b.aged) {
		return
	}
	b.aged = today
	b.archiveUnread(now)
	if b.config["lifecycle"] == nil {
		return
	}
	all, _ := rules(b.config["lifecycle"], false) // they were checked when they came
	due := func(since time.Time, days int) bool {
		return !now.Before(nextMidnight(since.Add(time.Duration(days) * 24 * time.Hour)))
	}
	for i := range all {
		rule := &all[i]
		for id, up := range b.uploads {
			if rule.Abort != nil && rule.covers(up.key, &object{}) && due(up.initiated, rule.Abort.DaysAfterInitiation) {
				delete(b.uploads, id)
			}
		}
		for key := range b.keys {
			f.ageKey(b, key, rule, due)
		}
	}
}

func (f *S3) ageKey(b *bucket, key string, rule *lifecycleRule, due func(time.Time, int) bool) {
	versions := b.keys[key]
	var gone []*object
	for i, o := range versions {
		switch newest := i == len(versions)-1; {
		case !rule.covers(key, o):
		case newest && !o.marker:
			for _, move := range rule.Transition {
				if due(o.modified, move.Days) && (rule.sized() || len(o.data) >= smallest || b.small && retrieval[move.StorageClass] != nil) {
					o.move(move.StorageClass)
				}
			}
			if rule.Expiration != nil && rule.Expiration.Days > 0 && due(o.modified, rule.Expiration.Days) {
				gone = append(gone, o)
			}
		case !newest && rule.Noncurrent != nil && due(versions[i+1].modified, rule.Noncurrent.NoncurrentDays):
			gone = append(gone, o)
		}
	}
	for _, o := range gone {
		if b.versioning != "" && o == b.current(key) {
			f.add(b, key, &object{marker: true, modified: f.now()})
			continue
		}
		b.keys[key] = slices.DeleteFunc(b.keys[key], func(other *object) bool { return other == o })
	}
	if len(b.keys[key]) == 0 {
		delete(b.keys, key)
	}
}

// move puts an object into a lower class.
func (o *object) move(class string) {
	if slices.Index(classes, class) > slices.Index(classes, o.class) {
		o.class, o.tier = class, ""
	}
}

type tieringConfiguration struct {
	ID      string `xml:"Id"`
	Status  string
	Tiering []struct {
		Days       int
		AccessTier string
	}
}

// archiveUnread moves objects of Intelligent-Tiering that were not read for long.
func (b *bucket) archiveUnread(now time.Time) {
	var c tieringConfiguration
	if b.config["intelligent-tiering"] == nil || xml.Unmarshal(b.config["intelligent-tiering"], &c) != nil || c.Status != "Enabled" {
		return
	}
	for _, versions := range b.keys {
		for _, o := range versions {
			for _, t := range c.Tiering {
				if o.class == intelligent && len(o.data) >= smallest && now.Sub(o.accessed) >= time.Duration(t.Days)*24*time.Hour && o.tier != "DEEP_ARCHIVE_ACCESS" {
					o.tier = t.AccessTier
				}
			}
		}
	}
}

// tiered checks the archives of Intelligent-Tiering.
func tiered(data []byte) error {
	var c tieringConfiguration
	if err := xml.Unmarshal(data, &c); err != nil {
		return &failure{http.StatusBadRequest, "MalformedXML", err.Error()}
	}
	least := map[string]int{"ARCHIVE_ACCESS": 90, "DEEP_ARCHIVE_ACCESS": 180}
	for _, t := range c.Tiering {
		if least[t.AccessTier] == 0 || t.Days < least[t.AccessTier] || t.Days > 730 {
			return &failure{http.StatusBadRequest, "InvalidArgument", "Days of " + t.AccessTier}
		}
	}
	return nil
}
