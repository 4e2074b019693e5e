// Package netlink makes and breaks the virtual wires of the NFS guest: veth
// pairs, their addresses, link up and down, and delay.
//
// It speaks the few sentences of rtnetlink that this takes, so that the guest
// needs no ip or tc program. It is not a general client: replies are read as
// one datagram, and nothing is listed.
package netlink

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"syscall"
	"time"
)

// What package syscall lacks: linux/if_link.h, linux/veth.h, linux/pkt_sched.h.
const (
	iflaNetNSFD   = 28
	iflaInfoKind  = 1
	iflaInfoData  = 2
	vethInfoPeer  = 1
	tcaKind       = 1
	tcaOptions    = 2
	netemLatency  = 10 // nanoseconds, 64 bits
	handleRoot    = 0xFFFFFFFF
	netemOptBytes = 24
)

// Conn is a netlink socket in the network namespace of the thread that dialled
// it. It is not safe for concurrent use.
type Conn struct {
	fd  int
	seq uint32
}

// Dial opens a socket in the network namespace of the calling thread.
func Dial() (*Conn, error) {
	fd, err := syscall.Socket(syscall.AF_NETLINK, syscall.SOCK_RAW|syscall.SOCK_CLOEXEC, syscall.NETLINK_ROUTE)
	if err != nil {
		return nil, os.NewSyscallError("netlink socket", err)
	}
	return &Conn{fd: fd}, nil
}

// Close closes the socket.
func (c *Conn) Close() error { return syscall.Close(c.fd) }

// AddVeth makes a pair of links that are each other's wire: name in this
// namespace, peer in the namespace that peerNS is an open descriptor of.
func (c *Conn) AddVeth(name, peer string, peerNS int) error {
	info := link(0, 0)
	info = attribute(info, syscall.IFLA_IFNAME, cstring(peer))
	info = attribute(info, iflaNetNSFD, word(uint32(peerNS)))

	kind := attribute(nil, iflaInfoKind, []byte("veth"))
	kind = attribute(kind, iflaInfoData, attribute(nil, vethInfoPeer, info))

	req := link(0, 0)
	req = attribute(req, syscall.IFLA_IFNAME, cstring(name))
	req = attribute(req, syscall.IFLA_LINKINFO, kind)
	_, err := c.do("add link "+name, syscall.RTM_NEWLINK, syscall.NLM_F_CREATE|syscall.NLM_F_EXCL, req)
	return err
}

// SetUp brings a link up.
func (c *Conn) SetUp(name string) error { return c.setFlags(name, syscall.IFF_UP) }

// SetDown takes a link down; frames on the wire are lost.
func (c *Conn) SetDown(name string) error { return c.setFlags(name, 0) }

func (c *Conn) setFlags(name string, flags uint32) error {
	req := attribute(link(flags, syscall.IFF_UP), syscall.IFLA_IFNAME, cstring(name))
	_, err := c.do("set link "+name, syscall.RTM_NEWLINK, 0, req)
	return err
}

// AddAddress gives a link an IPv4 address and its prefix.
func (c *Conn) AddAddress(name string, prefix netip.Prefix) error {
	index, err := c.index(name)
	if err != nil {
		return err
	}
	req := []byte{syscall.AF_INET, byte(prefix.Bits()), 0, 0}
	req = binary.NativeEndian.AppendUint32(req, index)
	addr := prefix.Addr().AsSlice()
	req = attribute(req, syscall.IFA_LOCAL, addr)
	req = attribute(req, syscall.IFA_ADDRESS, addr)
	_, err = c.do("add address "+prefix.String(), syscall.RTM_NEWADDR, syscall.NLM_F_CREATE|syscall.NLM_F_EXCL, req)
	return err
}

// Delay holds back every frame that leaves through the link by d; zero ends it.
// The queue has room for 100,000 frames, so that none is dropped.
func (c *Conn) Delay(name string, d time.Duration) error {
	index, err := c.index(name)
	if err != nil {
		return err
	}
	opt := make([]byte, netemOptBytes)
	binary.NativeEndian.PutUint32(opt[4:], 100_000) // limit
	opt = attribute(opt, netemLatency, binary.NativeEndian.AppendUint64(nil, uint64(d)))

	req := make([]byte, 4, 128)
	req = binary.NativeEndian.AppendUint32(req, index)
	req = binary.NativeEndian.AppendUint32(req, 0)
	req = binary.NativeEndian.AppendUint32(req, handleRoot)
	req = binary.NativeEndian.AppendUint32(req, 0)
	req = attribute(req, tcaKind, cstring("netem"))
	req = attribute(req, tcaOptions, opt)
	_, err = c.do("delay "+name, syscall.RTM_NEWQDISC, syscall.NLM_F_CREATE|syscall.NLM_F_REPLACE, req)
	return err
}

func (c *Conn) index(name string) (uint32, error) {
	reply, err := c.do("find link "+name, syscall.RTM_GETLINK, 0, attribute(link(0, 0), syscall.IFLA_IFNAME, cstring(name)))
	if err != nil {
		return 0, err
	}
	if len(reply) < syscall.SizeofIfInfomsg {
		return 0, fmt.Errorf("find link %s: reply of %d bytes", name, len(reply))
	}
	return binary.NativeEndian.Uint32(reply[4:]), nil
}

// do sends one request and reads its answer: an acknowledgement, an error, or
// the one message that was asked for.
func (c *Conn) do(what string, kind, flags uint16, body []byte) ([]byte, error) {
	flags |= syscall.NLM_F_REQUEST
	if kind != syscall.RTM_GETLINK {
		flags |= syscall.NLM_F_ACK
	}
	c.seq++
	msg := binary.NativeEndian.AppendUint32(nil, uint32(syscall.NLMSG_HDRLEN+len(body)))
	msg = binary.NativeEndian.AppendUint16(msg, kind)
	msg = binary.NativeEndian.AppendUint16(msg, flags)
	msg = binary.NativeEndian.AppendUint32(msg, c.seq)
	msg = binary.NativeEndian.AppendUint32(msg, 0)
	msg = append(msg, body...)
	if err := syscall.Sendto(c.fd, msg, 0, &syscall.SockaddrNetlink{Family: syscall.AF_NETLINK}); err != nil {
		return nil, fmt.Errorf("%s: send: %w", what, err)
	}
	buf := make([]byte, 64<<10)
	n, _, err := syscall.Recvfrom(c.fd, buf, 0)
	if err != nil {
		return nil, fmt.Errorf("%s: receive: %w", what, err)
	}
	replies, err := syscall.ParseNetlinkMessage(buf[:n])
	if err != nil || len(replies) == 0 {
		return nil, fmt.Errorf("%s: no answer in %d bytes: %w", what, n, err)
	}
	r := replies[0]
	if r.Header.Type == syscall.NLMSG_ERROR {
		if errno := int32(binary.NativeEndian.Uint32(r.Data)); errno != 0 {
			return nil, fmt.Errorf("%s: %w", what, syscall.Errno(-errno))
		}
		return nil, nil
	}
	return r.Data, nil
}

// link is a struct ifinfomsg of a link that an attribute names.
func link(flags, change uint32) []byte {
	b := make([]byte, 8, 64)
	b = binary.NativeEndian.AppendUint32(b, flags)
	return binary.NativeEndian.AppendUint32(b, change)
}

// attribute appends a struct rtattr and its value, padded to four bytes.
func attribute(b []byte, kind uint16, value []byte) []byte {
	b = binary.NativeEndian.AppendUint16(b, uint16(4+len(value)))
	b = binary.NativeEndian.AppendUint16(b, kind)
	b = append(b, value...)
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	return b
}

func cstring(s string) []byte { return append([]byte(s), 0) }

func word(v uint32) []byte { return binary.NativeEndian.AppendUint32(nil, v) }
