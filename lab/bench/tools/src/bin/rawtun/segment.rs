//! From TUN to UDP: large frames are cut, sealed and sent as UDP_SEGMENT runs.
use crate::seal::*;
use crate::wire::*;
use std::os::fd::RawFd;

pub struct Tx {
    fd: RawFd,
    pub buf: Vec<u8>,
    pub used: usize,
    pub segs: Vec<(usize, usize)>,
    pub ctr: u64,
    gso: bool,
}
impl Tx {
    pub fn new(fd: RawFd, gso: bool) -> Tx {
        Tx { fd, buf: vec![0; 192 * 1024], used: 0, segs: Vec::with_capacity(512), ctr: 0, gso }
    }
    /// room for a segment with `plain` bytes; returns its range in buf
    pub fn slot(&mut self, plain: usize) -> std::ops::Range<usize> {
        let n = HDR + plain + TAG;
        if self.used + n > self.buf.len() || self.segs.len() >= 256 {
            self.flush();
        }
        let r = self.used..self.used + n;
        self.used += n;
        self.segs.push((r.start, n));
        r
    }
    pub fn flush(&mut self) {
        if self.segs.is_empty() {
            return;
        }
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
                    if self.segs[j - 1].1 < l {
                        break;
                    }
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
                    (*c).cmsg_len = 18;
                    (*c).cmsg_level = libc::IPPROTO_UDP;
                    (*c).cmsg_type = UDP_SEGMENT;
                    *(libc::CMSG_DATA(c) as *mut u16) = l as u16;
                }
            }
            k += 1;
            i = j;
        }
        let mut s = 0;
        while s < k {
            let r = if k - s == 1 {
                let r = unsafe { libc::sendmsg(self.fd, &mm[s].msg_hdr, 0) };
                if r < 0 {
                    -1
                } else {
                    1
                }
            } else {
                unsafe { libc::sendmmsg(self.fd, mm[s..].as_mut_ptr(), (k - s) as u32, 0) }
            };
            if r <= 0 {
                s += 1;
            } else {
                s += r as usize;
            }
        }
        self.used = 0;
        self.segs.clear();
    }
}

/// Splits one TUN frame (vnet header + packet) into wire segments and seals them.
pub fn take_frame(tx: &mut Tx, k: &Aead, f: &mut [u8], nocsum: bool) {
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
        let c = tx.ctr;
        tx.ctr += 1;
        k.seal(c, &mut tx.buf[r]);
        return;
    }
    let ihl = (p[0] & 15) as usize * 4;
    let tcp = gt == GSO_TCPV4;
    let h = if tcp { ihl + (p[ihl + 12] >> 4) as usize * 4 } else { ihl + 8 };
    let id0 = u16::from_be_bytes([p[4], p[5]]);
    let seq0 = if tcp { u32::from_be_bytes(p[ihl + 4..ihl + 8].try_into().unwrap()) } else { 0 };
    let mut off = h;
    let mut n = 0u16;
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
        d[10] = 0;
        d[11] = 0;
        let c = !fold(sum16(&d[..ihl]));
        d[10..12].copy_from_slice(&c.to_ne_bytes());
        let co = if tcp {
            d[ihl + 4..ihl + 8].copy_from_slice(&seq0.wrapping_add((off - h) as u32).to_be_bytes());
            if !last {
                d[ihl + 13] &= !0x09;
            } // FIN, PSH only on the last
            ihl + 16
        } else {
            d[ihl + 4..ihl + 6].copy_from_slice(&((8 + l) as u16).to_be_bytes());
            ihl + 6
        };
        let ps = fold(pseudo(d, if tcp { 6 } else { 17 }, h + l - ihl));
        d[co..co + 2].copy_from_slice(&ps.to_ne_bytes());
        if !nocsum {
            let c = !fold(sum16(&d[ihl..]));
            d[co..co + 2].copy_from_slice(&c.to_ne_bytes());
        }
        let c = tx.ctr;
        tx.ctr += 1;
        k.seal(c, &mut tx.buf[r]);
        off += l;
        n = n.wrapping_add(1);
    }
}
