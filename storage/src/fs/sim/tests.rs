//! Tests of the simulated disk.

use super::*;

fn fs_with_file() -> (SimFs, Arc<dyn File>) {
    let fs = SimFs::new();
    fs.create_dir_all(Path::new("/d")).unwrap();
    let file = fs.open(Path::new("/d/f"), Open::Create).unwrap();
    (fs, file)
}

#[test]
fn synced_bytes_and_names_outlive_a_loss_of_power() {
    for seed in 0..50 {
        let (fs, file) = fs_with_file();
        fs.sync_dir(Path::new("/")).unwrap();
        fs.sync_dir(Path::new("/d")).unwrap();
        file.write_at(b"kept", 0).unwrap();
        file.sync_data().unwrap();
        file.write_at(b"lost?", 4).unwrap();
        fs.power_loss(seed);
        let content = fs.read(Path::new("/d/f"), 100).unwrap();
        assert_eq!(&content[..4], b"kept", "seed {seed}");
        assert!(content.len() <= 9);
    }
}

#[test]
fn a_death_tears_the_write_and_stops_everything() {
    let (fs, file) = fs_with_file();
    fs.fault_after(0, SimFault::Death);
    assert!(file.write_at(b"abcdef", 0).is_err());
    assert!(file.read_at(&mut [0; 1], 0).is_err());
    fs.heal();
    assert_eq!(fs.read(Path::new("/d/f"), 100).unwrap(), b"abc");
}

#[test]
fn a_full_disk_refuses_writes_until_healed() {
    let (fs, file) = fs_with_file();
    fs.fault_after(1, SimFault::Full);
    file.write_at(b"a", 0).unwrap();
    assert_eq!(file.write_at(b"b", 1).unwrap_err().kind(), io::ErrorKind::StorageFull);
    assert_eq!(file.write_at(b"b", 1).unwrap_err().kind(), io::ErrorKind::StorageFull);
    fs.heal();
    file.write_at(b"b", 1).unwrap();
}

#[test]
fn a_lock_is_held_until_dropped() {
    let (fs, _) = fs_with_file();
    let held = fs.try_lock(Path::new("/d/.lock")).unwrap();
    assert!(held.is_some());
    assert!(fs.try_lock(Path::new("/d/.lock")).unwrap().is_none());
    drop(held);
    assert!(fs.try_lock(Path::new("/d/.lock")).unwrap().is_some());
}

#[test]
fn a_full_disk_takes_what_fits_and_takes_more_when_something_goes() {
    let (fs, file) = fs_with_file();
    file.write_at(b"0123", 0).unwrap();
    fs.fill(3);
    let full = |result: io::Result<()>| assert_eq!(result.unwrap_err().kind(), io::ErrorKind::StorageFull);
    full(file.write_at(b"abcdef", 4));
    assert_eq!(fs.read(Path::new("/d/f"), 100).unwrap(), b"0123abc");
    full(file.write_at(b"g", 7));
    full(file.set_len(8));
    full(file.allocate(7, 1));
    full(fs.open(Path::new("/d/new"), Open::Create).map(drop));
    file.write_at(b"over", 0).unwrap();
    file.set_len(5).unwrap();
    file.sync_data().unwrap();
    full(fs.replace_unsynced(Path::new("/d/f"), b"more").map(drop));
    assert_eq!(fs.read(Path::new("/d/f.tmp"), 100).unwrap(), b"mo");
    fs.remove_file(Path::new("/d/f")).unwrap();
    fs.replace_unsynced(Path::new("/d/f"), b"more").unwrap();
    assert!(fs.has_less_than(4) && !fs.has_less_than(3));
    fs.heal();
    file.write_at(&[7; 100], 0).unwrap();
}
