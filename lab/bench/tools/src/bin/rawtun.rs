//! rawtun: a minimal TUN<->UDP forwarder, to find the limit of the machine (static key, no handshake,
//! no replay window: a measuring instrument, not a VPN).
//!   rawtun --tun NAME --local IP --peer IP --port P --io plain|mmsg|gso --cipher none|lc-chacha|lc-aes [--nocsum]
//!   rawtun --fwd --local IP --peer IP --local2 IP --peer2 IP --port P    UDP-to-UDP relay (GRO in, GSO out), opaque packets
//!   rawtun --t2t --ns-a A --ns-b B --tun NAME [--vnet]     one process, TUN in A <-> TUN in B
use std::os::fd::RawFd;
use netflow_bench_tools::*;

const HDR: usize = 16;
const TAG: usize = 16;
const VH: usize = 10; // struct virtio_net_hdr
const UDP_SEGMENT: i32 = 103;
const UDP_GRO: i32 = 104;
const GSO_NONE: u8 = 0;
const GSO_TCPV4: u8 = 1;
const GSO_UDP_L4: u8 = 5;
const MAXSEG: usize = 128;
const MAXRUN: usize = 65000;

fn tun_open(name: &str, vnet: bool, nonblock: bool) -> RawFd {
    unsafe {
        let fd = libc::open(c"/dev/net/tun".as_ptr(), libc::O_RDWR | libc::O_CLOEXEC | if nonblock { libc::O_NONBLOCK } else { 0 });
        assert!(fd >= 0, "open tun");
        let mut ifr: libc::ifreq = std::mem::zeroed();
        for (i, b) in name.bytes().enumerate() { ifr.ifr_name[i] = b as i8; }
        ifr.ifr_ifru.ifru_flags = (0x0001 | 0x1000 | if vnet { 0x4000 } else { 0 }) as i16; // TUN | NO_PI | VNET_HDR
        assert!(libc::ioctl(fd, 0x400454ca, &mut ifr) >= 0, "TUNSETIFF");
        if vnet {
            // CSUM | TSO4 | TSO6 | USO4 | USO6, else without USO
            let r = libc::ioctl(fd, 0x400454d0, 0x01 | 0x02 | 0x04 | 0x20 | 0x40);
            if r < 0 { assert!(libc::ioctl(fd, 0x400454d0, 0x01 | 0x02 | 0x04) >= 0, "TUNSETOFFLOAD"); eprintln!("no USO"); }
        }
        fd
    }
}

enum Aead { None, Lc(aws_lc_rs::aead::LessSafeKey) }
impl Aead {
    fn new(n: &str) -> Aead {
        let k = [0x42u8; 32];
        match n {
            "none" => Aead::None,
            "lc-chacha" | "lc-aes" => { use aws_lc_rs::aead::*; Aead::Lc(LessSafeKey::new(UnboundKey::new(if n == "lc-aes" { &AES_256_GCM } else { &CHACHA20_POLY1305 }, &k).unwrap())) }
            _ => panic!("cipher"),
        }
    }
    fn nonce(c: u64) -> [u8; 12] { let mut n = [0u8; 12]; n[4..].copy_from_slice(&c.to_le_bytes()); n }
    /// seg = [HDR][plain][TAG]
    #[inline]
    fn seal(&self, ctr: u64, seg: &mut [u8]) {
        seg[0..4].copy_from_slice(&[4, 0, 0, 0]);
        seg[4..8].copy_from_slice(&[0; 4]);
        seg[8..16].copy_from_slice(&ctr.to_le_bytes());
        let n = seg.len();
        let (p, t) = seg[HDR..].split_at_mut(n - HDR - TAG);
        match self {
            Aead::None => {}
            Aead::Lc(k) => { use aws_lc_rs::aead::*; let g = k.seal_in_place_separate_tag(Nonce::assume_unique_for_key(Self::nonce(ctr)), Aad::empty(), p).unwrap(); t.copy_from_slice(g.as_ref()); }
        }
    }
    #[inline]
    fn open(&self, seg: &mut [u8]) -> bool {
        if seg.len() < HDR + TAG { return false; }
        let ctr = u64::from_le_bytes(seg[8..16].try_into().unwrap());
        match self {
            Aead::None => true,
            Aead::Lc(k) => { use aws_lc_rs::aead::*; k.open_in_place(Nonce::assume_unique_for_key(Self::nonce(ctr)), Aad::empty(), &mut seg[HDR..]).is_ok() }
        }
    }
}

#[inline]
fn sum16(d: &[u8]) -> u64 {
    let mut acc = [0u64; 4];
    let mut it = d.chunks_exact(16);
    for c in &mut it {
        for i in 0..4 { acc[i] += u32::from_ne_bytes(c[i * 4..i * 4 + 4].try_into().unwrap()) as u64; }
    }
    let mut s = acc[0] + acc[1] + acc[2] + acc[3];
    let r = it.remainder();
    let mut it2 = r.chunks_exact(2);
    for c in &mut it2 { s += u16::from_ne_bytes([c[0], c[1]]) as u64; }
    if let [b] = it2.remainder() { s += u16::from_ne_bytes([*b, 0]) as u64; }
    s
}
#[inline]
fn fold(mut s: u64) -> u16 { s = (s & 0xffff_ffff) + (s >> 32); s = (s & 0xffff_ffff) + (s >> 32); s = (s & 0xffff) + (s >> 16); s = (s & 0xffff) + (s >> 16); s = (s & 0xffff) + (s >> 16); s as u16 }
/// pseudo header sum (IPv4), native order
#[inline]
fn pseudo(ip: &[u8], proto: u8, l4len: usize) -> u64 { sum16(&ip[12..20]) + (proto as u16).to_be() as u64 + (l4len as u16).to_be() as u64 }

struct Tx { fd: RawFd, buf: Vec<u8>, used: usize, segs: Vec<(usize, usize)>, ctr: u64, gso: bool }
impl Tx {
    fn new(fd: RawFd, gso: bool) -> Tx { Tx { fd, buf: vec![0; 192 * 1024], used: 0, segs: Vec::with_capacity(512), ctr: 0, gso } }
    /// room for a segment with `plain` bytes; returns its range in buf
    fn slot(&mut self, plain: usize) -> std::ops::Range<usize> {
        let n = HDR + plain + TAG;
        if self.used + n > self.buf.len() || self.segs.len() >= 256 { self.flush(); }
        let r = self.used..self.used + n;
        self.used += n;
        self.segs.push((r.start, n));
        r
    }
    fn flush(&mut self) {
        if self.segs.is_empty() { return; }
        const M: usize = 256;
        let mut iov: [libc::iovec; M] = unsafe { std::mem::zeroed() };
        let mut mm: [libc::mmsghdr; M] = unsafe { std::mem::zeroed() };
        let mut ctl = [[0u64; 3]; M];
        let mut k = 0;
        let mut i = 0;
        while i < self.segs.len() {
            let (o, l) = self.segs[i];
            let (mut total, mut j) = (l, i + 1);
            if self.gso {
                while j < self.segs.len() && j - i < MAXSEG && total + self.segs[j].1 <= MAXRUN && self.segs[j].1 <= l {
                    total += self.segs[j].1;
                    j += 1;
                    if self.segs[j - 1].1 < l { break; }
                }
            }
            iov[k] = libc::iovec { iov_base: self.buf[o..].as_mut_ptr() as *mut _, iov_len: total };
            mm[k].msg_hdr.msg_iov = &mut iov[k];
            mm[k].msg_hdr.msg_iovlen = 1;
            if j - i > 1 {
                mm[k].msg_hdr.msg_control = ctl[k].as_mut_ptr() as *mut _;
                mm[k].msg_hdr.msg_controllen = 24;
                unsafe {
                    let c = ctl[k].as_mut_ptr() as *mut libc::cmsghdr;
                    (*c).cmsg_len = 18; (*c).cmsg_level = libc::IPPROTO_UDP; (*c).cmsg_type = UDP_SEGMENT;
                    *(libc::CMSG_DATA(c) as *mut u16) = l as u16;
                }
            }
            k += 1;
            i = j;
        }
        let mut s = 0;
        while s < k {
            let r = if k - s == 1 { let r = unsafe { libc::sendmsg(self.fd, &mm[s].msg_hdr, 0) }; if r < 0 { -1 } else { 1 } }
                    else { unsafe { libc::sendmmsg(self.fd, mm[s..].as_mut_ptr(), (k - s) as u32, 0) } };
            if r <= 0 { s += 1; } else { s += r as usize; }
        }
        self.used = 0;
        self.segs.clear();
    }
}

fn poll_in(fd: RawFd) { let mut p = libc::pollfd { fd, events: libc::POLLIN, revents: 0 }; unsafe { libc::poll(&mut p, 1, -1) }; }

/// Splits one TUN frame (vnet header + packet) into wire segments and seals them.
fn take_frame(tx: &mut Tx, k: &Aead, f: &mut [u8], nocsum: bool) {
    let (flags, gt) = (f[0], f[1]);
    let hl = u16::from_ne_bytes([f[2], f[3]]) as usize;
    let gs = u16::from_ne_bytes([f[4], f[5]]) as usize;
    let cs = u16::from_ne_bytes([f[6], f[7]]) as usize;
    let co = u16::from_ne_bytes([f[8], f[9]]) as usize;
    let p = &mut f[VH..];
    let _ = hl;
    let gt = gt & 0x7f; // without ECN bit
    if gt == GSO_NONE || gs == 0 || p[0] >> 4 != 4 {
        if flags & 1 != 0 && !nocsum {
            // the field holds the pseudo header sum: the sum over it and the data is the checksum
            let c = !fold(sum16(&p[cs..]));
            p[cs + co..cs + co + 2].copy_from_slice(&c.to_ne_bytes());
        }
        let r = tx.slot(p.len());
        tx.buf[r.start + HDR..r.end - TAG].copy_from_slice(p);
        let c = tx.ctr; tx.ctr += 1;
        k.seal(c, &mut tx.buf[r]);
        return;
    }
    let ihl = (p[0] & 15) as usize * 4;
    let tcp = gt == GSO_TCPV4;
    let h = if tcp { ihl + (p[ihl + 12] >> 4) as usize * 4 } else { ihl + 8 };
    let id0 = u16::from_be_bytes([p[4], p[5]]);
    let seq0 = if tcp { u32::from_be_bytes(p[ihl + 4..ihl + 8].try_into().unwrap()) } else { 0 };
    let mut off = h; let mut n = 0u16;
    // sums of the header parts that do not change
    while off < p.len() {
        let l = gs.min(p.len() - off);
        let last = off + l == p.len();
        let r = tx.slot(h + l);
        let d = &mut tx.buf[r.start + HDR..r.end - TAG];
        d[..h].copy_from_slice(&p[..h]);
        d[h..].copy_from_slice(&p[off..off + l]);
        d[2..4].copy_from_slice(&((h + l) as u16).to_be_bytes());
        d[4..6].copy_from_slice(&id0.wrapping_add(n).to_be_bytes());
        d[10] = 0; d[11] = 0;
        let c = !fold(sum16(&d[..ihl])); d[10..12].copy_from_slice(&c.to_ne_bytes());
        let co = if tcp {
            d[ihl + 4..ihl + 8].copy_from_slice(&seq0.wrapping_add((off - h) as u32).to_be_bytes());
            if !last { d[ihl + 13] &= !0x09; } // FIN, PSH only on the last
            ihl + 16
        } else { d[ihl + 4..ihl + 6].copy_from_slice(&((8 + l) as u16).to_be_bytes()); ihl + 6 };
        let ps = fold(pseudo(d, if tcp { 6 } else { 17 }, h + l - ihl));
        d[co..co + 2].copy_from_slice(&ps.to_ne_bytes());
        if !nocsum { let c = !fold(sum16(&d[ihl..])); d[co..co + 2].copy_from_slice(&c.to_ne_bytes()); }
        let c = tx.ctr; tx.ctr += 1;
        k.seal(c, &mut tx.buf[r]);
        off += l; n = n.wrapping_add(1);
    }
}

/// Coalesces in-order packets of one flow to one GSO write.
struct Co { tun: RawFd, iov: Vec<libc::iovec>, vh: [u8; VH], first: *mut u8, h: usize, ihl: usize, proto: u8, gs: usize, nseq: u32, total: usize, closed: bool, n: usize, writes: u64 }
impl Co {
    fn new(tun: RawFd) -> Co { Co { tun, iov: Vec::with_capacity(200), vh: [0; VH], first: std::ptr::null_mut(), h: 0, ihl: 0, proto: 0, gs: 0, nseq: 0, total: 0, closed: false, n: 0, writes: 0 } }
    fn flush(&mut self) {
        if self.n == 0 { return; }
        self.vh = [0; VH];
        if self.proto != 0 {
            let p = unsafe { std::slice::from_raw_parts_mut(self.first, self.h) };
            let co = if self.proto == 6 { 16 } else { 6 };
            if self.n > 1 {
                p[2..4].copy_from_slice(&(self.total as u16).to_be_bytes());
                p[10] = 0; p[11] = 0;
                let c = !fold(sum16(&p[..self.ihl])); p[10..12].copy_from_slice(&c.to_ne_bytes());
                if self.proto == 17 { p[self.ihl + 4..self.ihl + 6].copy_from_slice(&((self.total - self.ihl) as u16).to_be_bytes()); }
                self.vh[1] = if self.proto == 6 { GSO_TCPV4 } else { GSO_UDP_L4 };
                self.vh[2..4].copy_from_slice(&(self.h as u16).to_ne_bytes());
                self.vh[4..6].copy_from_slice(&(self.gs as u16).to_ne_bytes());
            }
            let ps = fold(pseudo(p, self.proto, self.total - self.ihl));
            p[self.ihl + co..self.ihl + co + 2].copy_from_slice(&ps.to_ne_bytes());
            self.vh[0] = 1;
            self.vh[6..8].copy_from_slice(&(self.ihl as u16).to_ne_bytes());
            self.vh[8..10].copy_from_slice(&(co as u16).to_ne_bytes());
        }
        self.iov[0] = libc::iovec { iov_base: self.vh.as_mut_ptr() as *mut _, iov_len: VH };
        unsafe { libc::writev(self.tun, self.iov.as_ptr(), self.iov.len() as i32) };
        self.writes += 1;
        self.n = 0;
    }
    /// p: decrypted packet, stays valid until flush
    fn push(&mut self, p: &mut [u8]) {
        let ok4 = p.len() >= 28 && p[0] == 0x45 && (p[6] & 0x3f) == 0 && p[7] == 0; // no fragments, no IP options
        let proto = if ok4 { p[9] } else { 0 };
        let (h, seq, close) = match proto {
            6 if p.len() >= 40 => (20 + (p[32] >> 4) as usize * 4, u32::from_be_bytes(p[24..28].try_into().unwrap()), p[33] != 0x10),
            17 => (28, 0, false),
            _ => (0, 0, true),
        };
        let plen = p.len().saturating_sub(h);
        if self.n > 0 {
            let f = unsafe { std::slice::from_raw_parts(self.first, self.h.max(20)) };
            let same = self.proto != 0 && self.proto == proto && h == self.h && !self.closed && plen > 0 && plen <= self.gs
                && self.total + plen <= 65535 && self.n < MAXSEG && p[1] == f[1] && p[8] == f[8] && p[12..20] == f[12..20]
                && match proto {
                    6 => p[20..24] == f[20..24] && seq == self.nseq && p[28..32] == f[28..32] && (p[33] & !0x08) == 0x10 && p[34..36] == f[34..36] && p[40..h] == f[40..h],
                    17 => p[20..24] == f[20..24],
                    _ => false,
                };
            if same {
                if proto == 6 && p[33] & 0x08 != 0 { unsafe { *self.first.add(33) |= 0x08 }; }
                self.iov.push(libc::iovec { iov_base: p[h..].as_mut_ptr() as *mut _, iov_len: plen });
                self.total += plen; self.nseq = self.nseq.wrapping_add(plen as u32); self.n += 1;
                if plen < self.gs || (proto == 6 && close) { self.closed = true; }
                return;
            }
            self.flush();
        }
        self.iov.clear();
        self.iov.push(libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 });
        self.iov.push(libc::iovec { iov_base: p.as_mut_ptr() as *mut _, iov_len: p.len() });
        self.first = p.as_mut_ptr(); self.h = h; self.ihl = 20; self.proto = if h > 0 { proto } else { 0 };
        self.gs = plen; self.nseq = seq.wrapping_add(plen as u32); self.total = p.len();
        self.closed = close || plen == 0; self.n = 1;
    }
}

fn up_gso(tun: RawFd, udp: RawFd, k: &Aead, nocsum: bool) {
    let mut f = vec![0u8; VH + 65536 + 64];
    let mut tx = Tx::new(udp, true);
    loop {
        let n = unsafe { libc::read(tun, f.as_mut_ptr() as *mut _, f.len()) };
        if n < 0 { tx.flush(); poll_in(tun); continue; }
        take_frame(&mut tx, k, &mut f[..n as usize], nocsum);
        if tx.used > 60000 { tx.flush(); }
    }
}
fn down_gso(tun: RawFd, udp: RawFd, k: &Aead) {
    setsock_int(udp, libc::IPPROTO_UDP, UDP_GRO, 1).unwrap();
    const N: usize = 8;
    let bl = 65536;
    let mut bufs = vec![0u8; N * bl];
    let mut iov: Vec<libc::iovec> = (0..N).map(|i| libc::iovec { iov_base: bufs[i * bl..].as_mut_ptr() as *mut _, iov_len: bl }).collect();
    let mut ctl = vec![[0u64; 8]; N];
    let mut mm: Vec<libc::mmsghdr> = (0..N).map(|i| unsafe { let mut m: libc::mmsghdr = std::mem::zeroed(); m.msg_hdr.msg_iov = &mut iov[i]; m.msg_hdr.msg_iovlen = 1; m }).collect();
    let mut co = Co::new(tun);
    loop {
        for i in 0..N { mm[i].msg_hdr.msg_control = ctl[i].as_mut_ptr() as *mut _; mm[i].msg_hdr.msg_controllen = 64; }
        let got = unsafe { libc::recvmmsg(udp, mm.as_mut_ptr(), N as u32, libc::MSG_WAITFORONE, std::ptr::null_mut()) };
        if got <= 0 { continue; }
        for i in 0..got as usize {
            let total = mm[i].msg_len as usize;
            let mut seg = total.max(1);
            unsafe {
                let mut cm = libc::CMSG_FIRSTHDR(&mm[i].msg_hdr);
                while !cm.is_null() {
                    if (*cm).cmsg_level == libc::IPPROTO_UDP && (*cm).cmsg_type == UDP_GRO { seg = *(libc::CMSG_DATA(cm) as *const i32) as usize; }
                    cm = libc::CMSG_NXTHDR(&mm[i].msg_hdr, cm);
                }
            }
            let mut o = 0;
            while o < total {
                let l = seg.min(total - o);
                let b = unsafe { std::slice::from_raw_parts_mut(bufs.as_mut_ptr().add(i * bl + o), l) };
                o += l;
                if !k.open(b) { continue; }
                co.push(&mut b[HDR..l - TAG]);
            }
        }
        co.flush();
    }
}
fn up_simple(tun: RawFd, udp: RawFd, k: &Aead, batch: usize) {
    let mut f = vec![0u8; 2048];
    let mut tx = Tx::new(udp, false);
    loop {
        let n = unsafe { libc::read(tun, f.as_mut_ptr() as *mut _, f.len()) };
        if n < 0 { tx.flush(); poll_in(tun); continue; }
        let r = tx.slot(n as usize);
        tx.buf[r.start + HDR..r.end - TAG].copy_from_slice(&f[..n as usize]);
        let c = tx.ctr; tx.ctr += 1;
        k.seal(c, &mut tx.buf[r]);
        if tx.segs.len() >= batch { tx.flush(); }
    }
}
fn down_simple(tun: RawFd, udp: RawFd, k: &Aead, batch: usize) {
    let bl = 2048;
    let mut bufs = vec![0u8; batch * bl];
    let mut iov: Vec<libc::iovec> = (0..batch).map(|i| libc::iovec { iov_base: bufs[i * bl..].as_mut_ptr() as *mut _, iov_len: bl }).collect();
    let mut mm: Vec<libc::mmsghdr> = (0..batch).map(|i| unsafe { let mut m: libc::mmsghdr = std::mem::zeroed(); m.msg_hdr.msg_iov = &mut iov[i]; m.msg_hdr.msg_iovlen = 1; m }).collect();
    loop {
        let got = if batch == 1 {
            let r = unsafe { libc::recv(udp, bufs.as_mut_ptr() as *mut _, bl, 0) };
            if r < 0 { continue; }
            mm[0].msg_len = r as u32; 1
        } else { unsafe { libc::recvmmsg(udp, mm.as_mut_ptr(), batch as u32, libc::MSG_WAITFORONE, std::ptr::null_mut()) } };
        for i in 0..got.max(0) as usize {
            let l = mm[i].msg_len as usize;
            let b = &mut bufs[i * bl..i * bl + l];
            if !k.open(b) { continue; }
            unsafe { libc::write(tun, b[HDR..l - TAG].as_ptr() as *const _, l - HDR - TAG) };
        }
    }
}

/// Forwards datagrams from one connected socket to another without looking into them.
fn forward(from: RawFd, to: RawFd) {
    setsock_int(from, libc::IPPROTO_UDP, UDP_GRO, 1).unwrap();
    const N: usize = 8;
    let bl = 65536;
    let mut bufs = vec![0u8; N * bl];
    let mut iov: Vec<libc::iovec> = (0..N).map(|i| libc::iovec { iov_base: bufs[i * bl..].as_mut_ptr() as *mut _, iov_len: bl }).collect();
    let mut ctl = vec![[0u64; 8]; N];
    let mut mm: Vec<libc::mmsghdr> = (0..N).map(|i| unsafe { let mut m: libc::mmsghdr = std::mem::zeroed(); m.msg_hdr.msg_iov = &mut iov[i]; m.msg_hdr.msg_iovlen = 1; m }).collect();
    loop {
        for i in 0..N { iov[i].iov_len = bl; mm[i].msg_hdr.msg_control = ctl[i].as_mut_ptr() as *mut _; mm[i].msg_hdr.msg_controllen = 64; }
        let got = unsafe { libc::recvmmsg(from, mm.as_mut_ptr(), N as u32, libc::MSG_WAITFORONE, std::ptr::null_mut()) };
        if got <= 0 { continue; }
        for i in 0..got as usize {
            let total = mm[i].msg_len as usize;
            let mut seg = 0usize;
            unsafe {
                let mut cm = libc::CMSG_FIRSTHDR(&mm[i].msg_hdr);
                while !cm.is_null() {
                    if (*cm).cmsg_level == libc::IPPROTO_UDP && (*cm).cmsg_type == UDP_GRO { seg = *(libc::CMSG_DATA(cm) as *const i32) as usize; }
                    cm = libc::CMSG_NXTHDR(&mm[i].msg_hdr, cm);
                }
            }
            iov[i].iov_len = total;
            mm[i].msg_hdr.msg_controllen = 0;
            mm[i].msg_hdr.msg_control = std::ptr::null_mut();
            if seg > 0 && seg < total {
                unsafe {
                    let c = ctl[i].as_mut_ptr() as *mut libc::cmsghdr;
                    (*c).cmsg_len = 18; (*c).cmsg_level = libc::IPPROTO_UDP; (*c).cmsg_type = UDP_SEGMENT;
                    *(libc::CMSG_DATA(c) as *mut u16) = seg as u16;
                }
                mm[i].msg_hdr.msg_control = ctl[i].as_mut_ptr() as *mut _;
                mm[i].msg_hdr.msg_controllen = 24;
            }
        }
        let mut s = 0;
        while s < got as usize {
            let r = unsafe { libc::sendmmsg(to, mm[s..].as_mut_ptr(), (got as usize - s) as u32, 0) };
            s += r.max(1) as usize;
        }
    }
}

fn main() {
    let a = Args::new();
    if a.flag("fwd") {
        let port: u16 = a.num("port", 5000);
        let x = udp_socket(&a.str("local", ""), port).unwrap();
        connect(x, &a.str("peer", ""), port).unwrap();
        let y = udp_socket(&a.str("local2", ""), port).unwrap();
        connect(y, &a.str("peer2", ""), port).unwrap();
        std::thread::spawn(move || forward(y, x));
        forward(x, y);
        return;
    }
    let name = a.str("tun", "rt0");
    if a.flag("t2t") {
        let vnet = a.flag("vnet");
        enter_netns(&a.str("ns-a", "-")).unwrap();
        let ta = tun_open(&name, vnet, false);
        enter_netns(&a.str("ns-b", "-")).unwrap();
        let tb = tun_open(&name, vnet, false);
        let cp = |from: RawFd, to: RawFd| move || {
            let mut b = vec![0u8; 70000];
            loop {
                let n = unsafe { libc::read(from, b.as_mut_ptr() as *mut _, b.len()) };
                if n > 0 { unsafe { libc::write(to, b.as_ptr() as *const _, n as usize) }; }
            }
        };
        let t = std::thread::spawn(cp(ta, tb));
        std::thread::spawn(cp(tb, ta));
        t.join().unwrap();
        return;
    }
    let port: u16 = a.num("port", 5000);
    let udp = udp_socket(&a.str("local", "0.0.0.0"), port).unwrap();
    connect(udp, &a.str("peer", ""), port).unwrap();
    let io = a.str("io", "gso");
    let cipher = a.str("cipher", "none");
    let nocsum = a.flag("nocsum");
    let tun = tun_open(&name, io == "gso", io != "plain");
    let (c2, io2) = (cipher.clone(), io.clone());
    let t = std::thread::spawn(move || { let k = Aead::new(&c2); match io2.as_str() { "gso" => down_gso(tun, udp, &k), "mmsg" => down_simple(tun, udp, &k, 64), _ => down_simple(tun, udp, &k, 1) } });
    let k = Aead::new(&cipher);
    match io.as_str() { "gso" => up_gso(tun, udp, &k, nocsum), "mmsg" => up_simple(tun, udp, &k, 64), _ => up_simple(tun, udp, &k, 1) }
    t.join().unwrap();
}
