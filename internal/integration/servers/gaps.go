package servers

import "maps"

// Lacks says how a server fails at a capability, if that is known.
func Lacks(name Name, c Capability) (how string, lacks bool) {
	s := byName(name)
	if s == nil {
		return "", false
	}
	how, lacks = s.gaps[c]
	return how, lacks
}

// Gaps returns all that a server is known to fail at, and how.
func Gaps(name Name) map[Capability]string {
	s := byName(name)
	if s == nil {
		return nil
	}
	return maps.Clone(s.gaps)
}

func motoGaps() map[Capability]string {
	return map[Capability]string{}
}

func versitygwGaps() map[Capability]string {
	return map[Capability]string{}
}

func minIOGaps() map[Capability]string {
	return map[Capability]string{}
}

func s3MockGaps() map[Capability]string {
	return map[Capability]string{}
}

func localS3Gaps() map[Capability]string {
	return map[Capability]string{}
}
