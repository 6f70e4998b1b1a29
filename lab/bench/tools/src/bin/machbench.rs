//! machbench: costs of this machine that decide packet rates: syscall, wake-up, timer, copy.
use netflow_bench_tools::*;
fn per(n: u64, mut f: impl FnMut()) -> f64 {
    let mut best = f64::MAX;
    for _ in 0..5 {
        let t = now();
        for _ in 0..n {
            f();
        }
        best = best.min((now() - t) / n as f64);
    }
    best * 1e9
}
fn main() {
    unsafe {
        println!(
            "clock_gettime_vdso_ns {:.0}",
            per(200000, || {
                let _ = now();
            })
        );
        println!(
            "getppid_syscall_ns {:.0}",
            per(200000, || {
                libc::syscall(libc::SYS_getppid);
            })
        );
        let null = libc::open(c"/dev/null".as_ptr(), libc::O_RDWR);
        let b = vec![0u8; 1500];
        println!(
            "write_devnull_1500_ns {:.0}",
            per(200000, || {
                libc::write(null, b.as_ptr() as *const _, 1500);
            })
        );
        let efd = libc::eventfd(0, libc::EFD_NONBLOCK);
        println!(
            "read_eagain_ns {:.0}",
            per(200000, || {
                let mut v = 0u64;
                libc::read(efd, &mut v as *mut _ as *mut _, 8);
            })
        );
        for cpu in [0, 1] {
            let (mut p, mut q) = ([0i32; 2], [0i32; 2]);
            libc::pipe(p.as_mut_ptr());
            libc::pipe(q.as_mut_ptr());
            let (p0, q1) = (p[0], q[1]);
            let t = std::thread::spawn(move || {
                pin_cpu(cpu);
                let mut c = [0u8; 1];
                loop {
                    if libc::read(p0, c.as_mut_ptr() as *mut _, 1) <= 0 || c[0] == 9 {
                        break;
                    }
                    libc::write(q1, c.as_ptr() as *const _, 1);
                }
            });
            pin_cpu(0);
            let mut c = [0u8; 1];
            let r = per(3000, || {
                libc::write(p[1], [1u8].as_ptr() as *const _, 1);
                libc::read(q[0], c.as_mut_ptr() as *mut _, 1);
            });
            println!("pipe_roundtrip_{}_ns {:.0}", if cpu == 0 { "samecpu" } else { "othercpu" }, r);
            libc::write(p[1], [9u8].as_ptr() as *const _, 1);
            t.join().unwrap();
        }
        libc::prctl(libc::PR_SET_TIMERSLACK, 1);
        println!(
            "nanosleep_100us_takes_us {:.1}",
            per(200, || {
                let ts = libc::timespec { tv_sec: 0, tv_nsec: 100_000 };
                libc::nanosleep(&ts, std::ptr::null_mut());
            }) / 1e3
        );
        let big = vec![1u8; 64 << 20];
        let mut d = vec![0u8; 64 << 20];
        let ns = per(3, || {
            d.copy_from_slice(std::hint::black_box(&big));
            std::hint::black_box(&d);
        });
        println!("memcpy_64MiB_GBps {:.2}", (64 << 20) as f64 / ns);
        // page fault cost: touch fresh memory
        let t = now();
        let n = 16384usize;
        let m = libc::mmap(std::ptr::null_mut(), n * 4096, 3, 0x22, -1, 0) as *mut u8;
        libc::madvise(m as *mut _, n * 4096, libc::MADV_NOHUGEPAGE);
        for i in 0..n {
            *m.add(i * 4096) = 1;
        }
        println!("page_fault_ns {:.0}", (now() - t) / n as f64 * 1e9);
        // loopback UDP one way send cost
        let s = udp_socket("127.0.0.1", 0).unwrap();
        connect(s, "127.0.0.1", 9).unwrap();
        println!(
            "udp_sendto_lo_closedport_1400_ns {:.0}",
            per(20000, || {
                libc::send(s, b.as_ptr() as *const _, 1400, 0);
            })
        );
    }
}
