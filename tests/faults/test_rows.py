"""Every row of the catalogue has its test: here, or elsewhere, or a reason why it has none."""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
ROWS = {
    "A": "01 02 03 04 05 06 07 08 10 11 13 14 15 16 17 19 20 21 22 23 24 26 27 28 29 30 32",
    "B": "01 02 03 05 06 08 09 10 11 12 14 15 16 17 18",
    "C": "01 02 03 04 06 07 08 10 11 13 14 15 16 17 18 19",
    "D": "01 02 04 05 06 07 09 10 11 12 14 15 16 17 18 19 21 22",
    "E": "01 02 03 04 06 07 08 09 11 12 13 14",
    "F": "01 02 04 05 06 08 09 10 11 12 14 15",
    "G": "01 02 04 05 06 07 08 10 11 12 13",
    "H": "01 02 03 04 05 06 08 09 11 12 13 14 16 17 18",
    "I": "01 02 04 05 06 08 09 10 11 12 14 15 16 17 18 19 20 21",
}
# By file and test; several rows for some.
ELSEWHERE = {
    "test_formats_safetensors::test_bad_safetensors": "A01 A02 A03 A04 A05 A06 A07 A10",
    "test_formats_safetensors::test_duplicate_names": "A08",
    "test_formats_safetensors::test_very_many_tensors_are_refused_before_parsing": "A11",
    "test_formats_safetensors::test_weights_that_are_no_numbers": "A13",
    "test_formats_safetensors::test_safetensors_of_any_name": "A21",
    "test_formats_safetensors::test_a_file_cut_short_while_it_is_read": "A24",
    "test_faults_files::test_weights_of_nothing_and_of_far_too_much": "A14",
    "test_faults_files::test_a_tenth_of_the_tensors_is_missing": "A15",
    "test_formats_loading::test_missing_unexpected_and_wrong_tensors": "A16",
    "test_formats_loading::test_configuration_of_another_model": "A17 C10",
    "test_formats_pickles::test_views_parameters_and_shared_storages": "A19",
    "test_formats_reading::test_other_kinds_of_files": "A20",
    "test_formats_reading::test_larger_than_memory": "A32",
    "test_formats_reading::test_only_regular_files": "B17",
    "test_adapters::test_files_that_do_not_suit_are_refused_in_a_sentence": "A27 A28",
    "test_request_tasks::test_adapters_are_read_kept_and_limited": "A29",
    "test_adapters::test_changing_strength_many_times_keeps_memory_and_the_base_as_they_were": "A30",
    "test_adapters::test_jobs_with_different_adapters_take_turns_and_do_not_disturb_one_another": "G07",
    "test_formats_pickles::test_attacks_are_refused_and_nothing_runs": "B01 B03",
    "test_faults_files::test_published_bypasses_are_refused_by_name": "B02",
    "test_formats_pickles::test_whole_models_and_torchscript": "B05",
    "test_formats_archives::test_damaged_archives": "B06",
    "test_formats_archives::test_compressed_archives": "B08",
    "test_formats_pickles::test_strange_pickles": "B09",
    "test_formats_pickles::test_tensors_and_their_storages": "B10 B11",
    "test_formats_pickles::test_programs_that_repeat_themselves": "B12",
    "test_formats_pickles::test_trainer_leftovers_are_skipped": "B14",
    "test_faults_files::test_reading_hostile_files_starts_no_process_and_opens_no_socket": "C02",
    "test_formats_config::test_no_target_is_ever_imported": "C06",
    "test_formats_config::test_strange_yaml": "C07",
    "test_faults_files::test_json_that_is_none": "C08",
    "test_hub::test_what_a_hub_can_answer": "C14",
    "test_hub::test_the_right_size_with_the_wrong_bytes_is_removed": "C15",
    "test_hub::test_names_that_lead_out_of_the_folder": "C16",
    "test_api::test_it_starts_and_draws_without_a_network": "C17 I21",
    "test_hub::test_everything_is_taken_from_the_commit_that_was_looked_at": "C18",
    "test_hub::test_a_full_disk_keeps_what_has_come": "C19",
    "test_pictures::test_too_many_pixels_are_refused_before_decoding": "D01 D02",
    "test_pictures::test_text_bombs_are_refused": "D04",
    "test_pictures::test_modes": "D07",
    "test_pictures::test_transparent_parts_show_white": "D09",
    "test_pictures::test_a_mask_is_turned_as_its_picture": "D10",
    "test_tasks_pictures::test_an_empty_mask_is_refused_and_a_full_one_told": "D17 D18",
    "test_canvas_value::test_no_field_can_do_more_than_be_refused": "D22",
    "faults/test_f_numbers::test_f01_f09_a_wrong_value_is_a_sentence_that_names_its_field": "E02 E09 F02 "
    "F04 F06",
    "faults/test_fuzz::test_mutations_are_read_or_refused_with_a_sentence": "D15",
    "test_metadata::test_every_request_survives_a_png": "E04",
    "test_prompts::test_hostile_prompts_take_no_time": "E06 E07",
    "test_prompts_dynamic::test_what_cannot_be_is_a_sentence": "E08",
    "faults/test_i_page::test_i04_e11_words_are_text_wherever_they_are_shown": "I05",
    "test_library::test_awkward_prompts_are_saved": "E12 F14",
    "test_metadata::test_hostile_values_are_refused_like_any_request": "E14",
    "test_request::test_pixel_budget": "F05",
    "test_history_routes::test_another_persons_pictures_are_not_there": "F15",
    "test_engine_faults::test_a_fault_ends_its_job_alone": "G11 H09 H11",
    "test_library::test_a_save_reaches_the_disk_before_it_gets_its_name": "H05",
    "test_plans::test_memory_too_short_is_answered_by_a_plan_that_makes_the_picture_again": "H08",
    "test_index::test_thousands_of_files_cost_nothing_at_the_second_start": "H17",
    "test_audit::test_i19_nothing_that_is_installed_has_a_known_weakness": "I19",
}
WITHOUT = {
    "B16": "there is no scanner that could be missing: one reader of our own",
    "G12": "python -m tests.soak, for hours",
    "I18": "a tunnel needs the network",
}


def test_every_row_has_its_test() -> None:
    rows = {letter + number for letter, numbers in ROWS.items() for number in numbers.split()}
    here = {
        row.upper()
        for file in Path(__file__).parent.glob("test_*.py")
        for name in re.findall(r"^def test_(\w+)", file.read_text("utf-8"), re.M)
        for row in re.findall(r"(?<![a-z0-9])[a-i]\d\d(?![a-z0-9])", name.replace("_", " "))
    }
    for place in ELSEWHERE:
        file, _, name = place.partition("::")
        assert f"def {name}(" in (TESTS / f"{file}.py").read_text("utf-8"), place
    elsewhere = {row for named in ELSEWHERE.values() for row in named.split()}
    tested = here | elsewhere
    assert not tested & WITHOUT.keys() and tested | WITHOUT.keys() <= rows
    assert rows - tested - WITHOUT.keys() == set()
    print(f"{len(rows)} rows, {len(tested)} tested, {len(here)} of them here")
